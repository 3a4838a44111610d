//! The numbers of the map: RFC 9380, section 8.8.2 (the curve), appendix E.3 (the isogeny) and
//! appendix G.3 (the endomorphism). Any other value puts points where nobody signs, which the
//! tests against blst would show.

use std::sync::LazyLock;

use crate::consensus::bls::curve::Fp2;

/// The constants of the map.
pub(super) struct Constants {
    /// Parameters of the isogenous curve: y^2 = x^3 + a x + b.
    pub(super) a: Fp2,
    pub(super) b: Fp2,
    /// The non-square that the map steps by.
    pub(super) z: Fp2,
    /// Numerators and denominators of the isogeny, coefficients from the lowest power on.
    pub(super) x_numerator: [Fp2; 4],
    pub(super) x_denominator: [Fp2; 3],
    pub(super) y_numerator: [Fp2; 4],
    pub(super) y_denominator: [Fp2; 4],
    /// Factors of the endomorphism for x and y.
    pub(super) psi_x: Fp2,
    pub(super) psi_y: Fp2,
}

pub(super) static CONSTANTS: LazyLock<Constants> = LazyLock::new(constants);

/// The number with these 96 hexadecimal digits at most.
fn number(digits: &str) -> [u8; 48] {
    let padded = format!("{digits:0>96}");
    let mut bytes = [0; 48];
    hex::decode_to_slice(padded, &mut bytes).expect("constants are hexadecimal digits");
    bytes
}

fn complex(c0: &str, c1: &str) -> Fp2 {
    Fp2::from_be_bytes(&number(c0), &number(c1))
}

fn constants() -> Constants {
    let k10 = concat!(
        "05c759507e8e333ebb5b7a9a47d7ed8532c52d39fd3a042a",
        "88b58423c50ae15d5c2638e343d9c71c6238aaaaaaaa97d6"
    );
    let k30 = concat!(
        "1530477c7ab4113b59a4c18b076d11930f7da5d4a07f649b",
        "f54439d87d27e500fc8c25ebf8c92f6812cfc71c71c6d706"
    );
    Constants {
        a: complex("00", "f0"),
        b: complex("03f4", "03f4"),
        z: complex("02", "01").negated(),
        x_numerator: [
            complex(k10, k10),
            complex(
                "00",
                concat!(
                    "11560bf17baa99bc32126fced787c88f984f87adf7ae0c7f",
                    "9a208c6b4f20a4181472aaa9cb8d555526a9ffffffffc71a"
                ),
            ),
            complex(
                concat!(
                    "11560bf17baa99bc32126fced787c88f984f87adf7ae0c7f",
                    "9a208c6b4f20a4181472aaa9cb8d555526a9ffffffffc71e"
                ),
                concat!(
                    "08ab05f8bdd54cde190937e76bc3e447cc27c3d6fbd7063f",
                    "cd104635a790520c0a395554e5c6aaaa9354ffffffffe38d"
                ),
            ),
            complex(
                concat!(
                    "171d6541fa38ccfaed6dea691f5fb614cb14b4e7f4e810aa",
                    "22d6108f142b85757098e38d0f671c7188e2aaaaaaaa5ed1"
                ),
                "00",
            ),
        ],
        x_denominator: [
            complex("00", "48").negated(),
            complex("0c", "00").minus(&complex("00", "0c")),
            complex("01", "00"),
        ],
        y_numerator: [
            complex(k30, k30),
            complex(
                "00",
                concat!(
                    "05c759507e8e333ebb5b7a9a47d7ed8532c52d39fd3a042a",
                    "88b58423c50ae15d5c2638e343d9c71c6238aaaaaaaa97be"
                ),
            ),
            complex(
                concat!(
                    "11560bf17baa99bc32126fced787c88f984f87adf7ae0c7f",
                    "9a208c6b4f20a4181472aaa9cb8d555526a9ffffffffc71c"
                ),
                concat!(
                    "08ab05f8bdd54cde190937e76bc3e447cc27c3d6fbd7063f",
                    "cd104635a790520c0a395554e5c6aaaa9354ffffffffe38f"
                ),
            ),
            complex(
                concat!(
                    "124c9ad43b6cf79bfbf7043de3811ad0761b0f37a1e26286",
                    "b0e977c69aa274524e79097a56dc4bd9e1b371c71c718b10"
                ),
                "00",
            ),
        ],
        y_denominator: [
            complex("01b0", "01b0").negated(),
            complex("00", "d8").negated(),
            complex("12", "00").minus(&complex("00", "12")),
            complex("01", "00"),
        ],
        psi_x: complex(
            "00",
            concat!(
                "1a0111ea397fe699ec02408663d4de85aa0d857d89759ad4",
                "897d29650fb85f9b409427eb4f49fffd8bfd00000000aaad"
            ),
        ),
        psi_y: complex(
            concat!(
                "135203e60180a68ee2e9c448d77a2cd91c3dedd930b1cf60",
                "ef396489f61eb45e304466cf3e67fa0af1ee7b04121bdea2"
            ),
            concat!(
                "06af0e0437ff400b6831e36d6bd17ffe48395dabc2d3435e",
                "77f76e17009241c5ee67992f72ec05f4c81084fbede3cc09"
            ),
        ),
    }
}

/// The number one.
pub(super) fn one() -> Fp2 {
    let [.., one] = CONSTANTS.x_denominator;
    one
}

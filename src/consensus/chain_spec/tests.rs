use serde_json::{Value, json};

use super::*;
use crate::consensus::{authorities::AuthoritySetError, bls::BlsError};

fn operators_spec() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/chain-spec.json")).unwrap()
}

fn read(spec: &Value) -> Result<ChainSpec, ChainSpecError> {
    ChainSpec::from_json(&spec.to_string())
}

/// The error after `change` was made to the operator's file.
fn refusal(change: impl FnOnce(&mut Value)) -> ChainSpecError {
    let mut spec = operators_spec();
    change(&mut spec);
    read(&spec).unwrap_err()
}

fn key(index: usize) -> Value {
    operators_spec()["authorities"][index].clone()
}

#[test]
fn reads_the_operators_own_file() {
    let spec = read(&operators_spec()).unwrap();
    assert_eq!(spec.slot_duration_at(Height::new(7)).as_ms(), 5000);
    assert_eq!(spec.authorities_at(Height::new(7)).len(), 5);
    assert_eq!(spec.chain_id, 727_272);
    assert_eq!(spec.bits, 545_259_519);
    assert_eq!(spec.max_blocks_without_pow, 50_000);
    assert_eq!((spec.retarget.timespan, spec.retarget.spacing), (60, 5));
    assert!(spec.synthetic_payloads);
}

#[test]
fn payloads_are_checked_unless_the_file_says_otherwise() {
    let mut spec = operators_spec();
    spec.as_object_mut().unwrap().remove("syntheticPayloads");
    assert!(!read(&spec).unwrap().synthetic_payloads);
}

#[test]
fn later_values_are_in_force_from_their_height_on() {
    let mut spec = operators_spec();
    spec["laterAuthorities"] = json!([
        {"fromHeight": 100, "authorities": [key(4), key(0)]},
        {"fromHeight": 200, "authorities": [key(1)]},
    ]);
    spec["laterSlotDurations"] = json!([{"fromHeight": 150, "slotDuration": 4000}]);
    let spec = read(&spec).unwrap();
    let authorities = |height| spec.authorities_at(Height::new(height)).len();
    assert_eq!([authorities(0), authorities(99), authorities(100)], [5, 5, 2]);
    assert_eq!([authorities(199), authorities(200), authorities(u64::MAX)], [2, 1, 1]);
    assert_eq!(spec.authorities_at(Height::new(100)).keys()[0].to_string(), key(4));
    let slot_ms = |height| spec.slot_duration_at(Height::new(height)).as_ms();
    assert_eq!([slot_ms(149), slot_ms(150)], [5000, 4000]);
    assert_eq!(ChainSpec::from_json(&spec.to_json()), Ok(spec));
}

#[test]
fn written_specification_reads_back_the_same() {
    let spec = read(&operators_spec()).unwrap();
    assert_eq!(ChainSpec::from_json(&spec.to_json()), Ok(spec));
}

#[test]
fn names_the_place_where_the_text_is_no_json() {
    let error = ChainSpec::from_json("{\n  \"bits\": ,\n}").unwrap_err();
    assert_eq!(error, ChainSpecError::NotJson { line: 2, column: 11 });
    assert_eq!(ChainSpec::from_json("[]"), Err(ChainSpecError::NotAnObject));
    assert!(matches!(ChainSpec::from_json(""), Err(ChainSpecError::NotJson { .. })));
}

#[test]
fn every_needed_key_is_missed_by_name() {
    let needed =
        ["slotDuration", "authorities", "chainId", "bits", "maxBlocksWithoutPow", "retargetParams"];
    for name in needed {
        let error = refusal(|spec| {
            spec.as_object_mut().unwrap().remove(name);
        });
        assert!(matches!(&error, ChainSpecError::Missing { key, .. } if key == name), "{error}");
    }
    for name in operators_spec()["retargetParams"].as_object().unwrap().keys() {
        let error = refusal(|spec| {
            spec["retargetParams"].as_object_mut().unwrap().remove(name);
        });
        let ChainSpecError::Missing { key, .. } = error else { panic!("{error}") };
        assert_eq!(key, format!("retargetParams.{name}"));
    }
}

#[test]
fn wrong_values_are_shown_with_their_key_and_the_fix() {
    let text = |change: fn(&mut Value)| refusal(change).to_string();
    assert_eq!(
        text(|spec| spec["slotDuration"] = json!(0)),
        "slotDuration is 0: give whole milliseconds from 1 on, such as 5000"
    );
    assert_eq!(
        text(|spec| spec["slotDuration"] = json!("5s")),
        "slotDuration is \"5s\": give whole milliseconds from 1 on, such as 5000"
    );
    assert_eq!(
        text(|spec| spec["bits"] = json!(1_u64 << 32)),
        "bits is 4294967296: give a whole number from 0 to 4294967295"
    );
    assert_eq!(
        text(|spec| spec["maxBlocksWithoutPow"] = json!(-1)),
        "maxBlocksWithoutPow is -1: give a whole number from 0 to 18446744073709551615"
    );
    assert_eq!(
        text(|spec| spec["syntheticPayloads"] = json!(1)),
        "syntheticPayloads is 1: give true or false"
    );
    assert_eq!(
        text(|spec| spec["retargetParams"]["powTargetTimespan"] = json!(4)),
        "retargetParams.powTargetTimespan is 4: \
         give at least retargetParams.powTargetSpacing, which is 5"
    );
    assert_eq!(
        text(|spec| spec["retargetParams"]["maxPowAdjustment"] = json!(101)),
        "retargetParams.maxPowAdjustment is 101: give a whole number from 0 to 100"
    );
    assert_eq!(
        text(|spec| spec["authorities"][3] = json!("0xabc")),
        "authorities[3] is \"0xabc\": \
         give a BLS public key, compressed: \"0x\" and 96 hexadecimal digits"
    );
    assert!(text(|spec| spec["authorities"] = json!("x".repeat(5000))).len() < 300);
}

#[test]
fn refuses_keys_that_are_nobodys() {
    let infinity = format!("0xc0{}", "00".repeat(47));
    let error = refusal(|spec| spec["authorities"][2] = json!(infinity));
    let ChainSpecError::PublicKey { key, source, .. } = error else { panic!("{error}") };
    assert_eq!((key.as_str(), source), ("authorities[2]", BlsError::Infinity));
    let error = refusal(|spec| spec["authorities"][0] = json!("0x".to_owned() + &"11".repeat(48)));
    assert!(matches!(error, ChainSpecError::PublicKey { source: BlsError::NotAPoint, .. }));
}

#[test]
fn refuses_sets_of_none_too_many_and_one_key_twice() {
    let set = |error| {
        let ChainSpecError::Authorities { key, source } = error else { panic!("{error}") };
        (key, source)
    };
    let none = set(refusal(|spec| spec["authorities"] = json!([])));
    assert_eq!(none, ("authorities".to_owned(), AuthoritySetError::Empty));
    let many = set(refusal(|spec| spec["authorities"] = json!(vec![key(0); 16])));
    assert_eq!(many.1, AuthoritySetError::TooMany { count: 16 });
    let twice = set(refusal(|spec| {
        spec["laterAuthorities"] = json!([{"fromHeight": 1, "authorities": [key(0), key(0)]}]);
    }));
    assert_eq!(twice.0, "laterAuthorities[0].authorities");
    assert_eq!(twice.1, AuthoritySetError::Duplicate { first: 0, second: 1 });
}

#[test]
fn refuses_later_values_that_do_not_come_later() {
    let from = |heights: [u64; 2]| {
        refusal(|spec| {
            spec["laterSlotDurations"] = heights
                .iter()
                .map(|height| json!({"fromHeight": height, "slotDuration": 1}))
                .collect();
        })
        .to_string()
    };
    let fix = "give heights that rise from entry to entry, from 1 on";
    assert_eq!(from([0, 1]), format!("laterSlotDurations[0].fromHeight is 0: {fix}"));
    assert_eq!(from([5, 5]), format!("laterSlotDurations[1].fromHeight is 5: {fix}"));
    let error = refusal(|spec| spec["laterAuthorities"] = json!([7]));
    assert!(error.to_string().starts_with("laterAuthorities[0] is 7: give a list of objects"));
    let error = refusal(|spec| spec["laterAuthorities"] = json!([{"fromHeight": 1}]));
    assert!(error.to_string().starts_with("laterAuthorities[0].authorities is missing: add"));
}

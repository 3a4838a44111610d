//! Rules about the sources that no compiler checks. Each is a function from files to what breaks
//! it, and has a test that plants a break.
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "tidy/source.rs"]
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use source::{Files, code, has_word, reached, reports, roots, uses, without_tests};

/// The longest line. Unit: characters. As in `rustfmt.toml`, which does not break comments.
const LINE_MAX: usize = 100;

/// Words that mark unfinished work. Written in two parts, as the rule reads this file too.
const LEFTOVERS: [&str; 5] = [
    concat!("to", "do!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("db", "g!"),
    concat!("unimple", "mented!"),
];

/// Names that more than one public type has, and why that is meant.
const SAME_NAMES: [(&str, &str); 3] = [
    ("State", "of each actor: ractor wants it public, no other file names it"),
    ("Fault", "of bytes in the decoder, of blocks in a reply: no file meets both"),
    ("RequestError", "a request that cannot be read, and one that failed: server and client"),
];

/// Where each part may import from, besides itself.
const DIRECTIONS: [(&str, &[&str]); 3] =
    [("types", &[]), ("wire", &["types"]), ("consensus", &["types", "wire"])];

/// Decisions: files, or folders with all that is in them, without clock, entropy and I/O.
const PURE: &[&str] = &[
    "src/adapters/libp2p/admission.rs",
    "src/adapters/libp2p/dials.rs",
    "src/adapters/libp2p/serving/queue.rs",
    "src/adapters/libp2p/transport_choice.rs",
    "src/types/",
    "src/wire/",
    "src/consensus/",
    "src/flow/segment.rs",
    "src/coordinator/core.rs",
    "src/coordinator/gate.rs",
    "src/coordinator/phase.rs",
    "src/coordinator/progress.rs",
    "src/coordinator/progress/",
    "src/coordinator/search.rs",
    "src/coordinator/searches.rs",
    "src/importer/batch.rs",
    "src/network/dialer.rs",
    "src/reputation/attempts.rs",
    "src/reputation/ban.rs",
    "src/reputation/book.rs",
    "src/reputation/book/",
    "src/reputation/consequences.rs",
    "src/reputation/evidence.rs",
    "src/reputation/record.rs",
    "src/reputation/score.rs",
    "src/reputation/settings.rs",
    "src/reputation/view.rs",
    "src/resilience/recovery.rs",
    "src/resources/backlog.rs",
    "src/resources/looks.rs",
    "src/resources/settings.rs",
    "src/resources/watch.rs",
    "src/resilience/partition.rs",
    "src/resilience/breaker.rs",
    "src/scheduler/core.rs",
    "src/scheduler/core/",
    "src/scheduler/height_set.rs",
    "src/scheduler/policy/",
    "src/selection/",
    "src/validation/batcher.rs",
    "src/validation/verdict.rs",
    "src/checkpoint/check.rs",
    "src/checkpoint/export.rs",
    "src/checkpoint/record.rs",
    "src/checkpoint/recovery.rs",
    "supervisors/src/decision.rs",
    "supervisors/src/decision/",
    "supervisors/src/policy.rs",
];

/// What decisions must not know.
const IMPURE: [&str; 7] = [
    "tokio",
    "ractor",
    "rand",
    "std::fs",
    "std::net",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// What is pure but for one thing, and why.
const IMPURE_ALLOWED: [(&str, &str, &str); 2] = [
    ("src/consensus/generate/", "rand", "a generator that is seeded gives equal chains"),
    ("src/network/dialer.rs", "rand", "a generator that is seeded: no entropy of its own"),
];

/// The only callers of a network. Those in `chaos` are no nodes: they are the clients of one.
const MAY_CALL: [&str; 3] =
    ["src/resilience/caller.rs", "src/adapters/libp2p/tests/", "chaos/src/abuse/"];

/// The only maker of the caller of a node.
const MAY_MAKE_CALLER: &str = "src/node.rs";

/// Where a caller outside a node may be made: measurements and tests.
const MAY_BE_OUTSIDE: [&str; 3] = ["src/cli/bench/", "benches/", "tests/"];

/// Crates that one place each knows, so that they can be replaced there.
const KNOWN_IN: [(&str, &str); 6] = [
    ("backoff", "src/resilience/retry.rs"),
    ("governor", "src/resilience/limit.rs"),
    ("opentelemetry", "src/telemetry/"),
    ("opentelemetry_otlp", "src/telemetry/"),
    ("opentelemetry_sdk", "src/telemetry/"),
    ("tracing_opentelemetry", "src/telemetry/"),
];

/// The only file with `unsafe`: its invariants are written down there.
const MAY_BE_UNSAFE: &str = "src/consensus/bls/curve.rs";

/// Where an operator looks up what a node says.
const RUNBOOK: &str = "deploy/runbook.md";

/// What an operator sees warnings of.
const WARNS: [&str; 2] = ["src/", "supervisors/src/"];

/// Measurements, which are nobody's node.
const WARNS_OF_NO_NODE: &str = "src/cli/bench/";

/// Paths that exist on one machine only, and where packages come from on one only.
const MACHINES: [&str; 4] = ["/work/", "/home/", "/root/", "/Users/"];
/// The same for packages.
const REGISTRIES: [&str; 4] = ["artifactory", "pypi.org", "://registry.", "sparse+"];

/// Where `Cargo.lock` says that packages come from.
const LOCKED_SOURCE: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

fn repository() -> Files {
    source::read(Path::new(env!("CARGO_MANIFEST_DIR")))
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// The production code of every file, without tests, comments and strings.
fn production(files: &Files) -> BTreeMap<String, String> {
    let reached = reached(files, &roots(files)).production;
    reached.into_iter().map(|path| (path.clone(), code(&without_tests(&files[&path])))).collect()
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Files of no crate: no `mod` reaches them.
fn orphans(files: &Files) -> Vec<String> {
    let reached = reached(files, &roots(files)).all;
    let crates = ["src/", "supervisors/src/", "chaos/src/", "fuzz/"];
    let sources = files.keys().filter(|path| crates.iter().any(|dir| path.starts_with(dir)));
    let orphans = sources.filter(|path| is_rust(path) && !path.contains("/src/bin/"));
    orphans.filter(|path| !reached.contains(*path)).cloned().collect()
}

/// Public types of the same name.
fn same_names(files: &Files) -> Vec<String> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, code) in production(files) {
        for line in code.lines() {
            let Some((kind, rest)) =
                line.trim().strip_prefix("pub ").and_then(|item| item.split_once(' '))
            else {
                continue;
            };
            if ["struct", "enum", "trait", "union", "type"].contains(&kind) {
                let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                // A macro names its types where it is used.
                if !name.is_empty() {
                    names.entry(name.to_owned()).or_default().insert(path.clone());
                }
            }
        }
    }
    let allowed = |name: &str| SAME_NAMES.iter().any(|(allowed, _)| *allowed == name);
    let twice = names.into_iter().filter(|(name, paths)| paths.len() > 1 && !allowed(name));
    twice.map(|(name, paths)| format!("{name} is defined in {paths:?}")).collect()
}

/// Re-exports of everything.
fn globs(files: &Files) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| is_rust(path)) {
        for item in code(text).split(';') {
            let Some((_, exported)) = item.split_once("pub") else { continue };
            let exported = exported.split_once("use ").filter(|(before, _)| {
                before.trim().is_empty() || (before.starts_with('(') && before.ends_with(") "))
            });
            if exported.is_some_and(|(_, tree)| tree.contains('*')) {
                broken.push(format!("{path}: pub use {}", exported.unwrap().1.trim()));
            }
        }
    }
    broken
}

/// Marks of unfinished work.
fn leftovers(files: &Files) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| is_rust(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            if LEFTOVERS.iter().any(|leftover| has_word(line, leftover)) {
                broken.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    broken
}

/// The module that the file at `path` is: `src/wire/block/mod.rs` is `wire::block`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// Which part of the crate `path` names, seen from `module`; none for other crates.
fn part_of(module: &[String], path: &str) -> Option<String> {
    let mut parts = path.split("::").map(str::trim).peekable();
    let mut at: Vec<&str> = match *parts.peek()? {
        "crate" => Vec::new(),
        "self" | "super" => module.iter().map(String::as_str).collect(),
        _ => return None,
    };
    for part in parts {
        match part {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            part => at.push(part),
        }
    }
    at.first().map(|part| (*part).to_owned())
}

/// Imports against the direction of the dependencies.
fn wrong_way(files: &Files) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, code) in production(files) {
        for (part, may) in DIRECTIONS {
            if !path.starts_with(&format!("src/{part}/")) {
                continue;
            }
            // Paths in the middle of code count like those of a `use`.
            let inline = code.match_indices("crate::").map(|(at, _)| {
                let rest = &code[at..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                rest[..end.unwrap_or(rest.len())].trim_end_matches(':').to_owned()
            });
            let module = module_of(&path);
            for path_used in uses(&code).into_iter().chain(inline) {
                let Some(from) = part_of(&module, &path_used) else { continue };
                if from != part && !may.contains(&from.as_str()) {
                    broken.push(format!("{path}: {path_used}"));
                }
            }
        }
    }
    broken
}

/// Clocks, entropy and I/O where decisions are made.
fn impure(files: &Files) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, code) in production(files) {
        let below = |place: &str| path == place || place.ends_with('/') && path.starts_with(place);
        if !PURE.iter().copied().any(below) {
            continue;
        }
        let used = uses(&code);
        for outside in IMPURE {
            let prefix = format!("{outside}::");
            let imported = |used: &String| *used == outside || used.starts_with(&prefix);
            let allowed = IMPURE_ALLOWED
                .into_iter()
                .any(|(place, allowed, _)| below(place) && allowed == outside);
            if (used.iter().any(imported) || has_word(&code, &prefix)) && !allowed {
                broken.push(format!("{path}: {outside}"));
            }
        }
    }
    broken
}

/// Calls to peers that go past the limits.
fn direct_calls(files: &Files) -> Vec<String> {
    let may = |path: &str| MAY_CALL.iter().any(|may| path.starts_with(may));
    let calls = |text: &str| {
        let text: String = code(text).split_whitespace().collect();
        [".request_range(", "::request_range("].iter().any(|call| text.contains(call))
    };
    let others = files.iter().filter(|(path, _)| is_rust(path) && !may(path));
    others.filter(|(_, text)| calls(text)).map(|(path, _)| path.clone()).collect()
}

/// Callers with limits and breakers of their own, which know nothing of the node's.
fn second_callers(files: &Files) -> Vec<String> {
    let is_test = |path: &str| path.ends_with("_tests.rs");
    let outside = |path: &str| MAY_BE_OUTSIDE.iter().any(|may| path.starts_with(may));
    let others = files.iter().filter(|(path, text)| {
        let text: String = code(text).split_whitespace().collect();
        let made = |name: &str| text.contains(&format!("PeerCaller::{name}"));
        let may_be_outside = is_test(path) || outside(path);
        is_rust(path)
            && (made("new") && *path != MAY_MAKE_CALLER
                || made("outside_a_node") && !may_be_outside)
    });
    others.map(|(path, _)| path.clone()).collect()
}

/// Crates in places that should not know them.
fn known_elsewhere(files: &Files) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| is_rust(path)) {
        let code = code(text);
        let used = uses(&code);
        for (name, place) in KNOWN_IN {
            let prefix = format!("{name}::");
            let imported = |used: &String| used == name || used.starts_with(&prefix);
            let knows = used.iter().any(imported) || has_word(&code, &prefix);
            if knows && !path.starts_with(place) {
                broken.push(format!("{path}: {name}"));
            }
        }
    }
    broken
}

/// `unsafe` outside its one file, and the permission for it.
fn unguarded(files: &Files) -> Vec<String> {
    let ours = ["src/", "supervisors/", "chaos/", "tests/", "benches/"];
    let others = files.iter().filter(|(path, _)| {
        is_rust(path) && *path != MAY_BE_UNSAFE && ours.iter().any(|dir| path.starts_with(dir))
    });
    let found = others.filter(|(_, text)| {
        let code = code(text);
        has_word(&code, "unsafe") || has_word(&code, "unsafe_code")
    });
    found.map(|(path, _)| path.clone()).collect()
}

/// Lines that are too long.
fn long_lines(files: &Files) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| is_rust(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            let length = line.chars().count();
            if length > LINE_MAX {
                broken.push(format!("{path}:{number}: {length} characters"));
            }
        }
    }
    broken
}

/// What a node warns of without a word in the runbook.
fn unexplained(files: &Files) -> Vec<String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let runbook = words(files.get(RUNBOOK).map_or("", String::as_str));
    let mut broken = Vec::new();
    for path in reached(files, &roots(files)).production {
        let of_a_node = WARNS.iter().any(|part| path.starts_with(part));
        if !of_a_node || path.starts_with(WARNS_OF_NO_NODE) {
            continue;
        }
        for report in reports(&without_tests(&files[&path])) {
            // A string goes on behind the end of its line.
            let report = words(&report.replace("\\\n", " "));
            if !runbook.contains(&report) {
                broken.push(format!("{path}: the runbook has nothing on \"{report}\""));
            }
        }
    }
    broken
}

/// What is true of one machine only.
fn machines(files: &Files) -> Vec<String> {
    let is_path = |line: &str, machine: &str| {
        line.match_indices(machine).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "/._-*}".contains(c))
        })
    };
    let mut broken = Vec::new();
    // This file names them to forbid them, and the one beside it to plant them.
    for (path, text) in files.iter().filter(|(path, _)| !path.starts_with("tests/tidy")) {
        for (number, line) in (1..).zip(text.lines()) {
            let bad = if path.ends_with("Cargo.lock") {
                line.starts_with("source = ") && line != LOCKED_SOURCE
            } else {
                MACHINES.into_iter().any(|machine| is_path(line, machine))
                    || REGISTRIES.into_iter().any(|registry| line.contains(registry))
            };
            if bad {
                broken.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    broken
}

macro_rules! kept {
    ($($name:ident: $rule:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                assert_none(&$rule(&repository()));
            }
        )*
    };
}

kept! {
    every_file_is_of_a_crate: orphans,
    every_public_type_has_its_own_name: same_names,
    nothing_is_exported_wholesale: globs,
    nothing_is_left_over: leftovers,
    imports_go_one_way: wrong_way,
    decisions_know_no_clock_no_entropy_and_no_io: impure,
    peers_are_called_through_their_caller_only: direct_calls,
    all_of_a_node_ask_through_one_caller: second_callers,
    crates_that_may_be_replaced_are_known_in_one_place: known_elsewhere,
    what_the_compiler_cannot_check_is_in_one_file: unguarded,
    lines_are_short_enough: long_lines,
    everything_a_node_warns_of_is_in_the_runbook: unexplained,
    nothing_is_true_of_one_machine_only: machines,
}

/// A repository of these files.
fn planted(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// Asserts that `rule` finds exactly `expected` things in `files`.
fn finds(rule: fn(&Files) -> Vec<String>, files: &[(&str, &str)], expected: usize) {
    let broken = rule(&planted(files));
    assert_eq!(broken.len(), expected, "{broken:#?}");
}

#[path = "tidy/planted_breaks.rs"]
mod planted_breaks;

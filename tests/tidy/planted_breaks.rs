//! Each rule fails where it should, and only there.

use super::{
    LEFTOVERS, direct_calls, finds, globs, impure, known_elsewhere, leftovers, long_lines,
    machines, orphans, repository, same_names, second_callers, unexplained, unguarded, wrong_way,
};

#[test]
fn file_that_no_mod_reaches_is_found() {
    let files = [
        ("src/lib.rs", "mod a;\npub(crate) mod b;\n#[cfg(test)]\n#[path = \"c_tests.rs\"]\nmod c;"),
        ("src/a.rs", "#[cfg(test)]\nmod tests;"),
        ("src/a/tests.rs", ""),
        ("src/b/mod.rs", "pub mod d;"),
        ("src/b/d.rs", "mod e;"),
        ("src/b/d/e.rs", ""),
        ("src/c_tests.rs", ""),
        ("supervisors/src/lib.rs", "//! mod gone;"),
        ("chaos/src/main.rs", "mod run;"),
        ("chaos/src/run.rs", ""),
        ("fuzz/Cargo.toml", "[[bin]]\npath = \"fuzz_targets/a.rs\"\n"),
        ("fuzz/src/lib.rs", ""),
        ("fuzz/fuzz_targets/a.rs", ""),
    ];
    finds(orphans, &files, 0);
    let lost = [
        ("src/tests.rs", ""),
        ("src/b/e.rs", ""),
        ("supervisors/src/gone.rs", ""),
        ("fuzz/src/gone.rs", ""),
        ("fuzz/fuzz_targets/b.rs", ""),
    ];
    finds(orphans, &[&files[..], &lost].concat(), 5);
}

#[test]
fn same_public_name_is_found_where_both_are_production() {
    let lib = ("src/lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod c;");
    let a = ("src/a.rs", "pub struct Peer<T> {}\npub struct State;");
    let private = ("src/b.rs", "struct Peer;\npub(crate) enum Peer {}\npub struct State;");
    let test = ("src/c.rs", "pub struct Peer;");
    finds(same_names, &[lib, a, private, test], 0);
    finds(same_names, &[lib, a, ("src/b.rs", "// x\n    pub enum Peer {}"), test], 1);
    finds(same_names, &[lib, a, ("src/b.rs", "pub type Peer = u8;"), test], 1);
    let inside = "#[cfg(test)]\nmod tests {\n    pub struct Peer;\n}\n";
    finds(same_names, &[lib, a, ("src/b.rs", inside), test], 0);
    let other = [("supervisors/src/lib.rs", "pub trait Peer {}"), lib, a];
    finds(same_names, &other, 1);
}

#[test]
fn wholesale_export_is_found() {
    let meant = "use super::*;\npub use a::{B, C};\n/// pub use d::*;\nlet x = publish * use_of;";
    finds(globs, &[("src/lib.rs", meant)], 0);
    for text in ["pub use a::*;", "x;\npub(crate) use a::{\n    b::*,\n    c,\n};"] {
        finds(globs, &[("src/lib.rs", text)], 1);
    }
}

#[test]
fn each_leftover_is_found() {
    for leftover in LEFTOVERS {
        finds(leftovers, &[("tests/a.rs", &format!("    {leftover} later"))], 1);
        finds(leftovers, &[("src/a.rs", &format!("// {leftover}"))], 1);
        finds(leftovers, &[("src/a.rs", &format!("my_{leftover}"))], 0);
        finds(leftovers, &[("notes.txt", leftover)], 0);
    }
}

#[test]
fn import_against_the_direction_is_found() {
    let lib = ("src/lib.rs", "mod types;\nmod wire;\nmod consensus;");
    let with = |path, text| [lib, (path, text)];
    let fine = [
        ("src/types/mod.rs", "use self::a::B;\nuse crate::types::C;\nuse std::fmt;"),
        ("src/wire/mod.rs", "use crate::{types::A, wire::{self, B}};"),
        ("src/consensus/mod.rs", "use crate::{\n    types::A,\n    wire::block::{B, C},\n};"),
        ("src/wire/mod.rs", "//! See [`crate::node`].\nlet a = \"crate::node\";"),
        ("src/wire/mod.rs", "#[cfg(test)]\nmod tests {\n    use crate::node::Node;\n}\n"),
    ];
    for (path, text) in fine {
        finds(wrong_way, &with(path, text), 0);
    }
    let broken = [
        ("src/types/mod.rs", "use super::wire::A;"),
        ("src/types/mod.rs", "use crate::types::B;\nuse crate::ports;"),
        ("src/wire/mod.rs", "use crate::{types::A, consensus::{B, C as D}};"),
        ("src/consensus/mod.rs", "use crate::{wire::A, ports::Clock};"),
    ];
    for (path, text) in broken {
        let found = wrong_way(&super::planted(&with(path, text)));
        assert!(!found.is_empty(), "{path}: {text}");
    }
    finds(wrong_way, &with("src/wire/mod.rs", "fn f() { crate::node::start() }"), 1);
    let deep = [
        lib,
        ("src/wire/mod.rs", "mod block;"),
        ("src/wire/block.rs", "use super::super::node;\nuse super::root;"),
    ];
    finds(wrong_way, &deep, 1);
}

#[test]
fn clock_entropy_and_io_are_found_in_decisions() {
    let with = |text| {
        [
            ("src/lib.rs", "mod types;\nmod scheduler;"),
            ("src/types/mod.rs", text),
            ("src/scheduler/mod.rs", "mod actor;"),
            ("src/scheduler/actor.rs", "use tokio::time::Instant;"),
        ]
    };
    finds(impure, &with("use std::{fmt, time::Duration};\n// tokio::spawn\n"), 0);
    finds(impure, &with("#[cfg(test)]\nmod tests {\n    use rand::Rng;\n}\n"), 0);
    let broken = [
        "use tokio::sync::Notify;",
        "use ractor::{Actor, ActorRef};",
        "use std::{fmt, time::{Duration, Instant}};",
        "use std::time::SystemTime;",
        "use rand::Rng;",
        "use std::{fs, io};",
        "fn f() { std::net::TcpStream::connect(a) }",
        "fn f() { tokio::spawn(a) }",
    ];
    for text in broken {
        finds(impure, &with(text), 1);
    }
}

#[test]
fn call_past_the_caller_is_found() {
    let call = "let a = network\n    .request_range(peer, range)\n    .await;";
    finds(direct_calls, &[("src/resilience/caller.rs", call)], 0);
    finds(direct_calls, &[("src/ports/peer_network.rs", "fn request_range(&self) {}")], 0);
    finds(direct_calls, &[("src/scheduler/fetch.rs", call)], 1);
    finds(direct_calls, &[("tests/it/a.rs", "PeerNetwork::request_range(&network, a)")], 1);
    for path in ["chaos/src/a.rs", "benches/a.rs", "src/cli/bench/a.rs", "src/resilience/probe.rs"]
    {
        finds(direct_calls, &[(path, call)], 1);
    }
}

#[test]
fn second_caller_is_found() {
    let (new, outside) = ("PeerCaller::new(slot)", "PeerCaller::\n    outside_a_node(slot)");
    finds(second_callers, &[("src/node.rs", new), ("src/a.rs", "// PeerCaller::new(slot)")], 0);
    for path in ["src/scheduler/actor.rs", "src/a_tests.rs", "tests/it/a.rs", "chaos/src/a.rs"] {
        finds(second_callers, &[(path, new)], 1);
    }
    for path in ["src/a_tests.rs", "tests/it/a.rs", "benches/a.rs", "src/cli/bench/sync/a.rs"] {
        finds(second_callers, &[(path, outside)], 0);
    }
    for path in ["src/tree.rs", "src/cli/run.rs", "chaos/src/run.rs"] {
        finds(second_callers, &[(path, outside)], 1);
    }
}

#[test]
fn crate_outside_its_place_is_found() {
    for (name, place) in super::KNOWN_IN {
        let there = if place.ends_with('/') { format!("{place}mod.rs") } else { place.to_owned() };
        let import = format!("use {name}::{{A, b::C}};");
        finds(known_elsewhere, &[(&there, &import), ("src/a.rs", &format!("// {import}"))], 0);
        finds(known_elsewhere, &[("src/a.rs", &import)], 1);
        finds(known_elsewhere, &[("tests/it/a.rs", &format!("fn f() {{ {name}::g() }}"))], 1);
        finds(known_elsewhere, &[("src/a.rs", &format!("use crate::{name}::A;"))], 0);
    }
}

#[test]
fn what_the_compiler_cannot_check_is_found() {
    let call = "fn f() { unsafe { g() } }";
    finds(unguarded, &[(super::MAY_BE_UNSAFE, call)], 0);
    finds(unguarded, &[("src/a.rs", "// unsafe\nfn f() { \"unsafe\"; }")], 0);
    finds(unguarded, &[("src/a.rs", call), ("chaos/src/b.rs", "#![allow(unsafe_code)]")], 2);
}

#[test]
fn long_line_is_found() {
    let at_the_limit = "é".repeat(100);
    finds(long_lines, &[("src/a.rs", &at_the_limit), ("a.md", &"x".repeat(300))], 0);
    finds(long_lines, &[("src/a.rs", &"x".repeat(101))], 1);
}

#[test]
fn warning_that_the_runbook_does_not_explain_is_found() {
    let runbook = ("deploy/runbook.md", "## the disk\n\n- **Says**: \"the disk is\n  full\".");
    let with = |text| [runbook, ("src/lib.rs", text)];
    let explained = "fn a() { tracing::warn!(%b, c = f(\"x\"), \"the disk \\\n    is full\"); }";
    finds(unexplained, &with(explained), 0);
    finds(unexplained, &with("tracing::info!(\"something else\");"), 0);
    finds(unexplained, &with("tracing::error!(a = \"is full\", \"something else\");"), 1);
    finds(unexplained, &with("a => tracing::warn!(\"something else\"),"), 1);
    finds(unexplained, &[("chaos/src/lib.rs", "tracing::warn!(\"x\");"), runbook], 0);
}

#[test]
fn machine_paths_and_registries_are_found() {
    let fine = "https://example.org/work/a\ncargo doc ./work/b\n/var/lib/alys\nframework/home/c";
    finds(machines, &[("README.md", fine)], 0);
    for text in ["cd /work/x", "\"/home/me/\"", "a=/root/.cargo", "sparse+https://a", "/Users/b/"] {
        let text = text.to_owned();
        finds(machines, &[("README.md", &text)], 1);
    }
    let crates_io = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    finds(machines, &[("Cargo.lock", crates_io)], 0);
    finds(machines, &[("Cargo.lock", "source = \"git+https://example.org/a\"")], 1);
}

#[test]
fn rules_see_the_real_sources() {
    let files = repository();
    let production = super::production(&files);
    for path in ["src/lib.rs", "src/scheduler/core.rs", "supervisors/src/decision.rs"] {
        assert!(production.contains_key(path), "{path} is not seen");
    }
    for path in ["src/scheduler/core_tests.rs", "src/wire/vectors.rs", "tests/tidy.rs"] {
        assert!(files.contains_key(path) && !production.contains_key(path), "{path}");
    }
    for (path, _) in super::DIRECTIONS {
        assert!(production.keys().any(|file| file.starts_with(&format!("src/{path}/"))));
    }
    for pure in super::PURE {
        let seen = production.keys().any(|file| file.starts_with(pure));
        assert!(seen, "{pure} is listed and not there");
    }
    for (name, place) in super::KNOWN_IN {
        assert!(files.keys().any(|file| file.starts_with(place)), "{place} of {name} is not there");
    }
    for (name, reason) in super::SAME_NAMES {
        assert!(!reason.is_empty(), "{name}");
    }
}

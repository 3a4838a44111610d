//! The table of recovery names tests and sections of the runbook; they have to be there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alys_sync::{
    resilience::{ErrorClass, RECOVERY_TABLE},
    tree::Child,
};

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_row_has_its_tests_its_words_in_the_runbook_and_somebody_who_acts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "chaos/src", "chaos/tests"] {
        sources(&root.join(folder), &mut files);
    }
    files.retain(|file| !file.ends_with("src/resilience/recovery.rs"));
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let runbook = fs::read_to_string(root.join("deploy/runbook.md")).unwrap();
    for row in RECOVERY_TABLE {
        for test in row.tests {
            let (function, of_macro) = (format!("fn {test}("), format!("{test}: "));
            let there = text.contains(&function) || text.contains(&of_macro);
            assert!(there, "{}: there is no test {test}", row.class);
        }
        if let Some(section) = row.runbook {
            let there = runbook.lines().any(|line| line.strip_prefix("## ") == Some(section));
            assert!(there, "{}: the runbook has no section \"{section}\"", row.class);
        }
        for who in row.who {
            let is_child = Child::ALL.iter().any(|child| child.id() == *who);
            let is_known = is_child || ["SyncSupervisor", "ChainStore"].contains(who);
            assert!(is_known, "{}: nobody is {who}", row.class);
        }
    }
}

#[test]
fn names_of_classes_are_the_same_in_traces_and_in_json() {
    for row in RECOVERY_TABLE {
        let json = serde_json::to_string(&row.class).unwrap();
        assert_eq!(json, format!("\"{}\"", row.class));
        assert_eq!(serde_json::from_str::<ErrorClass>(&json).unwrap(), row.class);
    }
}

//! Rust sources as the rules see them: which module each is, and its code without comments,
//! strings and tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The files of a repository by their path in it, with `/` between the parts.
pub type Files = BTreeMap<String, String>;

/// All text files below `root` but for what is built, what fuzzing finds and what is kept by
/// version control. Big data and anything that is not text are left out.
pub fn read(root: &Path) -> Files {
    let mut files = Files::new();
    read_into(root, "", &mut files);
    files
}

fn read_into(dir: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if ["target", ".git", "vectors", "corpus", "artifacts"].contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            read_into(&entry.path(), &format!("{path}/"), files);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.insert(path, text);
        }
    }
}

/// The crate roots among `files` whose modules must be reached.
pub fn roots(files: &Files) -> Vec<String> {
    let crates = ["", "supervisors/", "chaos/", "fuzz/"];
    let roots = crates.iter().flat_map(|dir| ["lib", "main"].map(|f| format!("{dir}src/{f}.rs")));
    // Each fuzz target is a crate, if the manifest names it.
    let manifest = files.get("fuzz/Cargo.toml").map_or("", String::as_str);
    let paths =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    let targets = paths.map(|path| format!("fuzz/{path}"));
    roots.chain(targets).filter(|root| files.contains_key(root)).collect()
}

/// Which files the crates at `roots` are made of: those of production code, and all.
pub struct Reached {
    pub production: BTreeSet<String>,
    pub all: BTreeSet<String>,
}

pub fn reached(files: &Files, roots: &[String]) -> Reached {
    let mut reached = Reached { production: BTreeSet::new(), all: BTreeSet::new() };
    let mut open: Vec<_> = roots.iter().map(|root| (root.clone(), true)).collect();
    while let Some((path, production)) = open.pop() {
        let Some(text) = files.get(&path) else { continue };
        reached.all.insert(path.clone());
        if production {
            reached.production.insert(path.clone());
        }
        for module in modules(text) {
            let production = production && !module.test;
            open.extend(candidates(&path, &module).into_iter().map(|path| (path, production)));
        }
    }
    reached
}

/// A `mod name;`.
struct Module {
    name: String,
    path: Option<String>,
    test: bool,
}

fn modules(text: &str) -> Vec<Module> {
    let (mut modules, mut path, mut test) = (Vec::new(), None, false);
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path = rest.strip_suffix("\"]").map(str::to_owned);
            continue;
        }
        if line == "#[cfg(test)]" {
            test = true;
            continue;
        }
        if line.starts_with("#[") || line.starts_with("//") {
            continue;
        }
        let item = line.strip_prefix("pub").map_or(line, |rest| {
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, r)| r)
        });
        if let Some(name) = item.trim().strip_prefix("mod ").and_then(|m| m.strip_suffix(';')) {
            modules.push(Module { name: name.to_owned(), path: path.take(), test });
        }
        (path, test) = (None, false);
    }
    modules
}

/// Where the text of `module`, declared in the file at `path`, can be.
fn candidates(path: &str, module: &Module) -> Vec<String> {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(path) = &module.path {
        return vec![format!("{dir}/{path}")];
    }
    let stem = file.strip_suffix(".rs").unwrap();
    let own = match stem {
        "lib" | "main" | "mod" => dir.to_owned(),
        _ => format!("{dir}/{stem}"),
    };
    let name = &module.name;
    vec![format!("{own}/{name}.rs"), format!("{own}/{name}/mod.rs")]
}

/// `text` without the test modules written inside it.
pub fn without_tests(text: &str) -> String {
    let (mut kept, mut lines) = (String::new(), text.lines().peekable());
    while let Some(line) = lines.next() {
        let test = line == "#[cfg(test)]";
        if test && lines.peek().is_some_and(|next| next.contains("mod ") && next.ends_with('{')) {
            // rustfmt puts the end of a module at the first column.
            lines.by_ref().find(|line| *line == "}");
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// `text` with comments and the insides of strings and characters blanked out.
pub fn code(text: &str) -> String {
    let chars: Vec<_> = text.chars().collect();
    let (mut out, mut at) = (String::new(), 0);
    while let Some(&now) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let end = match (now, next) {
            ('/', Some('/')) => until(&chars, at, |rest| rest[0] == '\n'),
            ('/', Some('*')) => until(&chars, at + 2, |rest| rest.starts_with(&['*', '/'])) + 2,
            ('"', _) => string_end(&chars, at + 1),
            ('r', Some('"' | '#')) if !part_of_word(&chars, at) => raw_string_end(&chars, at + 1),
            ('\'', Some('\\')) => until(&chars, at + 3, |rest| rest[0] == '\'') + 1,
            ('\'', _) if chars.get(at + 2) == Some(&'\'') => at + 3,
            _ => at + 1,
        };
        if end == at + 1 {
            out.push(now);
        } else {
            let blanked = chars[at..end.min(chars.len())].iter().filter(|c| **c == '\n');
            out.push(' ');
            out.extend(blanked);
        }
        at = end;
    }
    out
}

fn until(chars: &[char], from: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|at| stop(&chars[*at..])).unwrap_or(chars.len())
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while let Some(now) = chars.get(at) {
        match now {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of the raw string whose `#`s or quote are at `at`; `at` if it is no raw string.
fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return at;
    }
    let mut close = vec!['"'];
    close.extend(vec!['#'; hashes]);
    until(chars, at + hashes + 1, |rest| rest.starts_with(&close)) + close.len()
}

fn part_of_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

/// What the warnings and errors that `text` logs say: the last string of each.
pub fn reports(text: &str) -> Vec<String> {
    let mut reports = Vec::new();
    for call in ["tracing::warn!(", "tracing::error!("] {
        for (at, _) in text.match_indices(call) {
            let chars: Vec<char> = text[at + call.len()..].chars().collect();
            let (mut at, mut depth, mut last) = (0, 1_u32, None);
            while depth > 0 && at < chars.len() {
                match chars[at] {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    '"' => {
                        let end = string_end(&chars, at + 1);
                        last = Some(chars[at + 1..end - 1].iter().collect());
                        at = end;
                        continue;
                    }
                    _ => {}
                }
                at += 1;
            }
            reports.extend(last);
        }
    }
    reports
}

/// Every path that the `use`s of `code` name, groups written out.
pub fn uses(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| !c.is_whitespace()) {
            continue;
        }
        if let Some((tree, _)) = code[at + 4..].split_once(';') {
            let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
            write_out("", tree.trim(), &mut paths);
        }
    }
    paths
}

fn write_out(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        if !path.is_empty() {
            paths.push(format!("{prefix}{path}"));
        }
        return;
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut start) = (0_u32, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                write_out(&prefix, inner[start..at].trim(), paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    write_out(&prefix, inner[start..].trim(), paths);
}

/// Whether `needle` is in `text`, and not as the end of a longer word or path.
pub fn has_word(text: &str, needle: &str) -> bool {
    text.match_indices(needle).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

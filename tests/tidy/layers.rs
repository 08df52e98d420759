//! Who may use whom: the borders of the folders in `src`, read from `crate::…` in the code.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, files, hold};

/// For each layer what it may use besides itself. A layer is a folder or file in `src`; `store` is cut in two, because its port, rules
/// and memory decide while its backends carry out.
const MAY_USE: &[(&str, &[&str])] = &[
    // The pure half.
    ("base", &[]),
    ("chat", &["base", "store"]), // the port's plain types: a decision ends as a write
    ("wire", &["base", "chat"]),
    ("auth", &["base"]),
    ("connection", &["base", "chat", "wire", "auth", "metrics"]),
    ("store", &["base"]),
    ("metrics", &[]),
    ("shard", &["base", "chat", "wire", "auth", "connection", "store", "metrics"]),
    ("sim", &["base", "chat", "wire", "auth", "connection", "store", "metrics", "shard"]),
    // The shell.
    ("store/backends", &["base", "store", "metrics", "shard", "keys", "runtime/bridge"]),
    ("runtime/bridge", &[]),
    ("metrics/expose", &["metrics", "store/backends"]),
    ("keys", &["base", "auth", "config"]),
    ("config", &["base"]),
    ("log", &["config", "shard"]),
    ("welcome", &[]),
    ("runtime", &["base", "auth", "shard", "store", "store/backends", "metrics", "log"]),
    ("net", &["base", "chat", "wire", "auth", "keys", "shard", "store", "metrics", "metrics/expose", "runtime"]),
    ("client", &["base", "wire", "net"]),
    ("top", &["client"]),
];

/// Files that carry out and stand in a folder of the pure half.
const SHELL_FILES: &[(&str, &str)] = &[
    ("src/store/embedded", "store/backends"),
    ("src/store/driver", "store/backends"),
    ("src/store/master.rs", "store/backends"),
    ("src/store/scylla", "store/backends"),
    ("src/runtime/bridge.rs", "runtime/bridge"),
    ("src/metrics/expose.rs", "metrics/expose"),
    ("src/metrics/process.rs", "metrics/expose"),
    ("src/metrics/text.rs", "metrics/expose"),
];

/// Where these words may stand at all.
const WORDS: &[(&str, &[&str])] = &[
    ("glommio::", &["src/runtime/", "src/net/"]),
    ("tokio::", &["src/runtime/bridge.rs", "src/store/scylla/"]),
    ("redb::", &["src/store/embedded/"]),
    ("axum::", &["src/net/"]),
    ("hyper::", &["src/net/"]),
    (
        "rustls::",
        &[
            "src/net/",
            "src/client/",
            "src/keys/",
            "src/store/scylla/tls.rs",
            "src/app.rs",
            "src/main.rs",
            "loadtest/",
            "tests/",
        ],
    ),
];

/// The layer of a file; `None` for who may use everything (`app`, `main`, `lib`).
fn layer(path: &str) -> Option<&str> {
    if let Some((_, layer)) = SHELL_FILES.iter().find(|(start, _)| path.starts_with(start)) {
        return Some(layer);
    }
    let first = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (!["app", "main", "lib"].contains(&first)).then_some(first)
}

/// The layer that a path in the code (`store::embedded::Redb`) leads to.
fn layer_of_use(used: &str) -> String {
    let file = format!("src/{}", used.replace("::", "/"));
    let shell = |start: &str| {
        let start = start.trim_end_matches(".rs");
        file == start || file.strip_prefix(start).is_some_and(|rest| rest.starts_with('/'))
    };
    let found = SHELL_FILES.iter().find(|(start, _)| shell(start)).map(|(_, layer)| (*layer).to_owned());
    found.unwrap_or_else(|| used.split("::").next().unwrap_or_default().to_owned())
}

/// What stands after each `crate::`, two names deep; groups in braces are taken apart.
fn uses(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        let dollar = code[..at].ends_with('$');
        let inside_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if inside_word && !dollar {
            continue;
        }
        let rest = &code[at + start.len()..];
        let items: Vec<&str> = if let Some(group) = rest.strip_prefix('{') { split_group(group) } else { vec![rest] };
        for item in items {
            let item = item.trim_start();
            let first = word(item);
            let after = item[first.len()..].strip_prefix("::").unwrap_or_default();
            let seconds: Vec<String> = if let Some(group) = after.strip_prefix('{') {
                split_group(group).iter().map(|i| word(i.trim())).collect()
            } else {
                vec![word(after)]
            };
            for second in seconds {
                found.insert(if second.is_empty() { first.clone() } else { format!("{first}::{second}") });
            }
        }
    }
    found
}

/// The items of a group, of which the opening brace is gone.
fn split_group(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut items) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&text[from..at]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    items
}

fn violations(files: &[Source]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with("src/")) {
        let code = before_tests(file).map(|(_, line)| line).collect::<Vec<_>>().join("\n");
        for (word, places) in WORDS {
            if holds_word(&code, word) && !places.iter().any(|place| file.path.starts_with(place)) {
                violations.push(format!("{} names {word}", file.path));
            }
        }
        let Some(from) = layer(&file.path) else { continue };
        let Some(allowed) = table.get(from) else {
            violations.push(format!("{}: the layer {from} is not in the table", file.path));
            continue;
        };
        for used in uses(&code) {
            let to = layer_of_use(&used);
            if to != from && !allowed.contains(&&*to) {
                violations.push(format!("{} ({from}) uses crate::{used} ({to})", file.path));
            }
        }
    }
    violations
}

/// The code up to its tests, which may use what they need to build a world.
fn before_tests(file: &Source) -> impl Iterator<Item = (usize, &str)> {
    let all_tests = file.path.ends_with("tests.rs") || file.path.contains("/tests/");
    let mut marked = false;
    file.code().take_while(move |(_, line)| {
        // `#[cfg(test)]` at the margin begins the tests, unless `mod name;` follows, which is another file.
        let begins = marked && line.contains("mod ") && line.ends_with('{');
        marked = *line == "#[cfg(test)]";
        !all_tests && !begins
    })
}

fn holds_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

#[test]
fn layers_are_kept() {
    hold("this folder may not use that one (see MAY_USE)", &violations(&files()));
}

#[test]
fn a_wrong_use_is_seen() {
    for (path, text, part) in [
        ("src/base/a.rs", "use crate::chat::Room;", "uses crate::chat::Room"),
        ("src/chat/a.rs", "use crate::{base::Id, wire};", "uses crate::wire"),
        ("src/store/mod.rs", "let a = crate::store::embedded::open();", "uses crate::store::embedded"),
        ("src/store/memory.rs", "use crate::store::{Write, driver::Driver};", "uses crate::store::driver"),
        ("src/shard/a.rs", "use glommio::Task;", "names glommio::"),
        ("src/app.rs", "use tokio::spawn;", "names tokio::"),
        ("src/wire/a.rs", "#[cfg(test)]\nmod fake;\nuse crate::net::X;", "uses crate::net::X"),
        ("src/other/a.rs", "", "the layer other is not in the table"),
    ] {
        let found = violations(&[Source::sample(path, text)]);
        assert!(matches!(&found[..], [one] if one.contains(part)), "{path}: {text}: {found:?}");
    }
}

#[test]
fn what_is_right_is_let_pass() {
    for (path, text) in [
        ("src/base/a.rs", "// use crate::chat::Room;\nuse crate::base::Id;"),
        ("src/shard/a.rs", "use crate::{base::{Id, Seq}, store::Write};\nlet x = my_crate::net::y;"),
        ("src/store/embedded/mod.rs", "use crate::store::Backend;\nuse redb::Database;"),
        ("src/app.rs", "use crate::net::X;"),
        ("src/wire/a.rs", "#[cfg(test)]\npub(super) mod tests {\n    use crate::net::X;\n}\n"),
    ] {
        let found = violations(&[Source::sample(path, text)]);
        assert!(found.is_empty(), "{path}: {text}: {found:?}");
    }
}

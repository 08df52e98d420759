//! Rules about single files: heads, orphans, stray words, lengths, machine paths, sleeps, lints.

use std::collections::BTreeSet;

use super::{Source, files, has_ending, hold, root};

/// Lines of code a file may have.
const LINES_MAX: usize = 600;

/// Longer ones, with why.
const LONG: &[(&str, &str)] = &[
    ("src/sim/client.rs", "one client: what it does and what it hears share all of its state"),
    ("src/store/record.rs", "one list of stored forms: what is published is never changed, and is seen at one place"),
];

/// Files of tests that wait by time, with why nothing else can be waited for.
const SLEEPERS: &[(&str, &str)] = &[
    ("src/net/listener.rs", "a time limit is what is tested"),
    ("tests/support/mod.rs", "the one place: pauses between two looks, and times that the protocol itself demands"),
    ("tests/browser/support/wait.mjs", "the one place: pauses between two looks"),
    ("tests/peers/peer.mjs", "a client's back-off, and what retry_after_ms says"),
    ("tests/peers/peer.py", "a client's back-off, and what retry_after_ms says"),
    ("tests/runtime/ends.rs", "work that is under way at the end; and a child is looked at until it ended"),
    ("tests/runtime/fake.rs", "a slow store"),
    ("tests/runtime/load.rs", "what an idle shard uses in a second"),
    ("tests/runtime/turns.rs", "the pump's own tasks are let run; absence can only be waited for"),
    ("tests/transport/asset.rs", "a slow client is what is tested"),
    ("tests/transport/http.rs", "a slow client is what is tested"),
    ("tests/transport/server.rs", "the stand-in for a shard looks again and again; the harness has a watchdog"),
];

#[test]
fn every_file_says_what_it_is() {
    hold("begin the file with //! and a sentence", &headless(&files()));
}

fn headless(files: &[Source]) -> Vec<String> {
    let bad = |file: &&Source| {
        let head = file.text.lines().find(|line| !line.is_empty() && !line.starts_with("#!"));
        head.and_then(|line| line.strip_prefix("//!")).is_none_or(|head| head.trim().len() < 10)
    };
    let skeleton = |file: &&Source| file.text.starts_with("//! Skeleton");
    let rust = files.iter().filter(|file| file.is_rust());
    rust.filter(|file| bad(file) || skeleton(file)).map(|file| file.path.clone()).collect()
}

#[test]
fn every_file_is_reached() {
    hold("no `mod` leads to this file", &orphans(&files()));
}

/// Files of `src` that no `mod` line names, starting from the roots of crates.
fn orphans(files: &[Source]) -> Vec<String> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut todo: Vec<String> = files
        .iter()
        .map(|f| f.path.clone())
        .filter(|p| p.ends_with("src/lib.rs") || p.ends_with("src/main.rs"))
        .collect();
    while let Some(path) = todo.pop() {
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        let (folder, name) = path.rsplit_once('/').unwrap();
        let stem = name.trim_end_matches(".rs");
        let inner = if ["mod", "lib", "main"].contains(&stem) { folder.to_owned() } else { format!("{folder}/{stem}") };
        for (_, line) in file.code() {
            let Some(rest) = line.trim().strip_suffix(';') else { continue };
            let Some((before, module)) = rest.rsplit_once("mod ").filter(|(_, name)| !name.contains(' ')) else {
                continue;
            };
            if before.is_empty() || before.ends_with(' ') {
                todo.extend([format!("{inner}/{module}.rs"), format!("{inner}/{module}/mod.rs")]);
            }
        }
        reached.insert(path);
    }
    let ours = files
        .iter()
        .filter(|file| file.is_rust() && (file.path.starts_with("src/") || file.path.starts_with("loadtest/src/")));
    ours.map(|file| file.path.clone()).filter(|path| !reached.contains(path) && !path.contains("/bin/")).collect()
}

#[test]
fn nothing_is_left_for_later() {
    hold("finish it, or write it down where people look", &stray(&files()));
}

fn stray(files: &[Source]) -> Vec<String> {
    // Put together here, so that this file does not find itself.
    let words = ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}:", "unimplemented\u{21}(", "todo\u{21}("];
    let code = files.iter().filter(|file| has_ending(&file.path, &["rs", "toml", "py", "js", "mjs", "sh"]));
    each_line(code, |_, line| words.iter().find(|word| line.contains(**word)).map(|word| format!("has {word}")))
}

#[test]
fn no_file_is_too_long() {
    let all = files();
    hold("split it by ideas, or list it in LONG with a reason", &long(&all, LONG));
    let mut lengths: Vec<(usize, &str)> =
        all.iter().filter(|file| file.is_rust()).map(|file| (file.text.lines().count(), &*file.path)).collect();
    lengths.sort_unstable();
    // Seen with `cargo test --test tidy -- --nocapture`.
    println!("{} files, {} lines; the longest:", lengths.len(), lengths.iter().map(|(lines, _)| lines).sum::<usize>());
    lengths.iter().rev().take(10).for_each(|(lines, path)| println!("{lines:6} {path}"));
}

fn long(files: &[Source], listed: &[(&str, &str)]) -> Vec<String> {
    let lines = |file: &Source| file.text.lines().count();
    let rust: Vec<&Source> = files.iter().filter(|file| file.is_rust()).collect();
    let over = rust.iter().filter(|file| lines(file) > LINES_MAX && !listed.iter().any(|(path, _)| *path == file.path));
    let mut violations: Vec<String> = over.map(|file| format!("{}: {} lines", file.path, lines(file))).collect();
    let stale =
        listed.iter().filter(|(path, _)| !rust.iter().any(|file| file.path == *path && lines(file) > LINES_MAX));
    violations.extend(stale.map(|(path, _)| format!("{path} is listed and need not be")));
    violations
}

#[test]
fn no_path_of_a_machine() {
    hold("this path is there on one machine only", &machine_paths(&files()));
}

fn machine_paths(files: &[Source]) -> Vec<String> {
    let places = ["/work\u{2f}", "/root\u{2f}", "/home\u{2f}", "/Users\u{2f}"];
    each_line(files.iter().filter(|file| file.path != "Cargo.lock"), |_, line| {
        places.iter().find(|place| line.contains(**place)).map(|place| format!("names {place}"))
    })
}

#[test]
fn tests_wait_for_what_happens_and_not_for_time() {
    hold("wait for the thing itself, or list the file in SLEEPERS with a reason", &sleeps(&files(), SLEEPERS));
}

fn sleeps(files: &[Source], listed: &[(&str, &str)]) -> Vec<String> {
    let words = ["sleep\u{28}", "sleep_ms\u{28}", "setTimeout\u{28}"];
    let allowed = |file: &Source| listed.iter().any(|(path, _)| *path == file.path);
    let of_tests = |file: &Source| file.path.starts_with("tests/") || file.path.ends_with("tests.rs");
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| !allowed(file)) {
        let mut testing = of_tests(file) && has_ending(&file.path, &["rs", "py", "js", "mjs"]);
        for (at, line) in file.code() {
            testing = testing || (file.is_rust() && line.starts_with("#[cfg(test)]"));
            if testing && words.iter().any(|word| line.contains(word)) {
                violations.push(format!("{}:{at}: {}", file.path, line.trim()));
            }
        }
    }
    let stale = listed
        .iter()
        .filter(|(path, _)| !files.iter().any(|f| f.path == *path && words.iter().any(|w| f.text.contains(w))));
    violations.extend(stale.map(|(path, _)| format!("{path} is listed and need not be")));
    violations
}

#[test]
fn every_package_keeps_the_lints() {
    hold("needs [lints] workspace = true", &unlinted(&files()));
}

fn unlinted(files: &[Source]) -> Vec<String> {
    let packages = files.iter().filter(|f| f.path.ends_with("Cargo.toml") && f.text.contains("[package]"));
    // A package of its own workspace (fuzzing needs one) cannot inherit.
    let alone = |f: &Source| f.path != "Cargo.toml" && f.text.contains("[workspace]");
    let bad = packages.filter(|f| !alone(f) && !f.text.contains("[lints]\nworkspace = true"));
    bad.map(|file| file.path.clone()).collect()
}

#[test]
fn every_command_of_the_makefile_is_there() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let missing: Vec<String> = makefile
        .split([' ', '\t', '\n', '@'])
        .filter(|word| word.starts_with("scripts/") && !root().join(word).exists())
        .map(str::to_owned)
        .collect();
    hold("the Makefile calls it and it is not there", &missing);
}

#[test]
fn what_documents_name_is_there() {
    hold("this document names a file that is not there", &dead_names(&files(), |path| root().join(path).exists()));
}

/// Paths of the project in backticks of documents.
fn dead_names(files: &[Source], there: impl Fn(&str) -> bool) -> Vec<String> {
    let ours = ["src/", "tests/", "docs/", "config/", "scripts/", "loadtest/", "schema/", "deploy/", ".ci/"];
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| has_ending(&file.path, &["md"])) {
        for name in file.text.split('`').skip(1).step_by(2) {
            let plain = !name.contains([' ', '*', '{', '<', '\n']);
            // The page of the web client names what is in its own folder.
            let here = there(name) || (file.path == "docs/web.md" && there(&format!("web/{name}")));
            if plain && ours.iter().any(|start| name.starts_with(start)) && !here {
                violations.push(format!("{}: {name}", file.path));
            }
        }
    }
    violations
}

/// Applies a rule to every line, with its place.
fn each_line<'a>(
    files: impl Iterator<Item = &'a Source>,
    rule: impl Fn(&Source, &str) -> Option<String>,
) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            violations.extend(rule(file, line).map(|says| format!("{}:{}: {says}", file.path, at + 1)));
        }
    }
    violations
}

mod each_rule_sees {
    //! A sample that each rule must refuse, beside one that it must let pass.

    use super::*;

    #[track_caller]
    fn only(violations: &[String], part: &str) {
        assert!(matches!(violations, [one] if one.contains(part)), "{violations:?}");
    }

    #[test]
    fn a_file_without_a_head() {
        let good = Source::sample("src/a.rs", "//! What this is, in words.\n");
        only(&headless(&[good.clone(), Source::sample("src/b.rs", "use std;\n")]), "src/b.rs");
        only(&headless(&[good.clone(), Source::sample("src/c.rs", "//! x\n")]), "src/c.rs");
        only(&headless(&[good, Source::sample("src/d.rs", "//! Skeleton. It comes.\n")]), "src/d.rs");
    }

    #[test]
    fn an_orphan() {
        let files = [
            Source::sample("src/lib.rs", "pub mod a;\n#[cfg(test)]\nmod b;\n// mod lost;\n"),
            Source::sample("src/a/mod.rs", "pub(crate) mod inner;"),
            Source::sample("src/a/inner.rs", "    mod deep;"),
            Source::sample("src/a/inner/deep.rs", ""),
            Source::sample("src/b.rs", ""),
            Source::sample("src/lost.rs", ""),
        ];
        only(&orphans(&files), "src/lost.rs");
    }

    #[test]
    fn a_stray_word() {
        let word = ["TO", "DO"].concat();
        only(&stray(&[Source::sample("src/a.rs", &format!("fine\n// {word} later\n"))]), "src/a.rs:2");
        only(&stray(&[Source::sample("src/a.rs", &["unimple", "mented!()"].concat())]), "src/a.rs:1");
        assert!(stray(&[Source::sample("README.md", &word)]).is_empty());
    }

    #[test]
    fn a_long_file_and_a_stale_exception() {
        let files = [Source::sample("a.rs", &"\n".repeat(601)), Source::sample("b.rs", &"\n".repeat(600))];
        only(&long(&files, &[]), "a.rs: 601 lines");
        only(&long(&files, &[("a.rs", "why"), ("b.rs", "why")]), "b.rs is listed");
    }

    #[test]
    fn a_path_of_a_machine() {
        let path = ["/ro", "ot/x"].concat();
        only(&machine_paths(&[Source::sample("a.md", &path), Source::sample("b.md", "/etc/x")]), "a.md:1");
    }

    #[test]
    fn a_sleep_in_a_test() {
        let sleep = ["thread::sle", "ep(x);"].concat();
        let inside = Source::sample("src/a.rs", &format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n    {sleep}\n}}\n"));
        only(&sleeps(&[inside], &[]), "src/a.rs:4");
        let before = Source::sample("src/a.rs", &format!("{sleep}\n#[cfg(test)]\n"));
        assert!(sleeps(&[before], &[]).is_empty());
        let of_tests = Source::sample("tests/a.rs", &sleep);
        only(&sleeps(std::slice::from_ref(&of_tests), &[]), "tests/a.rs:1");
        assert!(sleeps(&[of_tests], &[("tests/a.rs", "why")]).is_empty());
        only(&sleeps(&[], &[("tests/b.rs", "why")]), "tests/b.rs is listed");
    }

    #[test]
    fn a_dead_name_in_a_document() {
        let page = Source::sample("A.md", "see `src/a.rs`, `src/b.rs`, `src/*.rs` and `other/c.rs`");
        only(&dead_names(&[page], |path| path == "src/a.rs"), "A.md: src/b.rs");
    }

    #[test]
    fn a_package_without_lints() {
        only(&unlinted(&[Source::sample("x/Cargo.toml", "[package]\n")]), "x/Cargo.toml");
        assert!(unlinted(&[Source::sample("fuzz/Cargo.toml", "[package]\n[workspace]\n")]).is_empty());
    }
}

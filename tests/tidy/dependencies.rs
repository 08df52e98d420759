//! What may be in the tree of dependencies: names, sources, licences. The same as `deny.toml`, with nothing but cargo.

use std::process::Command;

use serde_json::Value;

use super::{hold, root};

/// Never in the tree, with why. The first list of packages may hold the second one all the same.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("openssl-sys", &[], "one TLS library: rustls on ring"),
    ("native-tls", &[], "one TLS library: rustls on ring"),
    (
        "aws-lc-rs",
        &["rustls", "rustls-webpki"],
        "one library of ciphers: ring; ScyllaDB's driver brings it by rustls' defaults, and nothing calls it",
    ),
    ("aws-lc-sys", &["aws-lc-rs"], "one library of ciphers: ring; see aws-lc-rs"),
    ("rsa", &[], "RUSTSEC-2023-0071"),
    (
        "tokio",
        &["hyper", "causerie", "scylla", "scylla-cql", "tokio-rustls"],
        "the server runs on glommio; hyper uses its runtime-free channels only, ScyllaDB's driver has a thread of its own",
    ),
    ("async-std", &[], "no second runtime"),
    ("smol", &[], "no second runtime"),
];

/// Licences that fit ours.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "MPL-2.0+",
    "Unicode-3.0",
    "Zlib",
];

/// The only place that packages come from.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn dependencies_are_those_we_want() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages were looked at", packages.len());
    hold("see tests/tidy/dependencies.rs and deny.toml", &violations(&metadata));
}

fn violations(metadata: &Value) -> Vec<String> {
    let mut violations = Vec::new();
    let packages = metadata["packages"].as_array().unwrap();
    let name =
        |id: &Value| packages.iter().find(|package| package["id"] == *id).map_or("?", |p| p["name"].as_str().unwrap());
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        for dependency in node["dependencies"].as_array().unwrap() {
            let (from, to) = (name(&node["id"]), name(dependency));
            if let Some((_, wrappers, why)) = BANNED.iter().find(|(banned, ..)| *banned == to)
                && !wrappers.contains(&from)
            {
                violations.push(format!("{from} brings {to}: {why}"));
            }
        }
    }
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let ours = package["source"].is_null() && package["license"] == "Apache-2.0";
        if !ours && package["source"] != SOURCE {
            violations.push(format!("{name} comes from {}", package["source"]));
        }
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !fits(licence) {
            violations.push(format!("{name} has the licence {licence}"));
        }
    }
    violations
}

/// Whether an SPDX expression can be kept with the licences above: any side of an OR, every side of an AND. A slash is an old OR.
fn fits(expression: &str) -> bool {
    let expression = expression.trim().replace('/', " OR ");
    let parts = |word: &str| -> Option<Vec<String>> {
        let (mut depth, mut parts, mut rest) = (0, vec![String::new()], expression.as_str());
        while let Some(c) = rest.chars().next() {
            if depth == 0 && rest.starts_with(word) {
                parts.push(String::new());
                rest = &rest[word.len()..];
                continue;
            }
            depth += i32::from(c == '(') - i32::from(c == ')');
            parts.last_mut().unwrap().push(c);
            rest = &rest[c.len_utf8()..];
        }
        (parts.len() > 1).then_some(parts)
    };
    if let Some(any) = parts(" OR ") {
        return any.iter().any(|part| fits(part));
    }
    if let Some(all) = parts(" AND ") {
        return all.iter().all(|part| fits(part));
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => fits(inner),
        None => LICENCES.contains(&&*expression),
    }
}

#[test]
fn licences_are_understood() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR X",
    ] {
        assert!(fits(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR LGPL-2.1) AND MIT", "", "no licence"] {
        assert!(!fits(bad), "{bad}");
    }
}

#[test]
fn a_wrong_dependency_is_seen() {
    let package = |name: &str, source: &str, licence: &str| serde_json::json!({"id": name, "name": name, "source": source, "license": licence});
    let tree = |packages: Vec<Value>, from: &str, to: &str| serde_json::json!({"packages": packages, "resolve": {"nodes": [{"id": from, "dependencies": [to]}]}});
    let two = |from: &str, to: &str| {
        violations(&tree(vec![package(from, SOURCE, "MIT"), package(to, SOURCE, "MIT")], from, to))
    };
    assert_eq!(two("a", "b"), [""; 0]);
    assert_eq!(two("hyper", "tokio"), [""; 0]);
    assert_eq!(two("a", "tokio").len(), 1);
    assert_eq!(two("a", "rsa"), ["a brings rsa: RUSTSEC-2023-0071"]);
    let alone = |source: &str, licence: &str| violations(&tree(vec![package("a", source, licence)], "x", "y"));
    assert_eq!(alone("git+https://example.org/a", "MIT").len(), 1);
    assert_eq!(alone(SOURCE, "GPL-3.0"), ["a has the licence GPL-3.0"]);
}

//! Whose pages may open a socket: those of this server, and those of the origins that the configuration lists.
//!
//! A program that is no browser sends no `Origin` and is not asked for one: the check is against pages that use a visitor's browser.

/// Whether a page of `origin` may talk to the server that is called `host` in the request.
#[must_use]
pub fn allowed(origin: &str, host: Option<&str>, listed: &[String]) -> bool {
    let origin = canonical(origin);
    if listed.iter().any(|entry| canonical(entry) == origin) {
        return true;
    }
    // The port speaks TLS only, so its own pages are https.
    host.is_some_and(|host| !host.is_empty() && origin == canonical(&format!("https://{host}")))
}

/// Lower case, without a slash at the end and without the port that https has anyway.
fn canonical(origin: &str) -> String {
    let lower = origin.trim().trim_end_matches('/').to_ascii_lowercase();
    match lower.strip_suffix(":443") {
        Some(rest) if rest.starts_with("https://") => rest.to_owned(),
        _ => lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_pages_and_listed_ones_pass_and_nobody_else() {
        let listed = ["https://Chat.Example.org/".to_owned(), "http://localhost:5173".to_owned()];
        for (origin, host, want) in [
            ("https://localhost:8443", Some("localhost:8443"), true),
            ("https://LOCALHOST:8443", Some("localhost:8443"), true),
            ("https://chat.test", Some("chat.test:443"), true),
            ("https://chat.example.org", Some("inside:8443"), true),
            ("https://chat.example.org:443", None, true),
            ("http://localhost:5173", Some("localhost:8443"), true),
            ("http://localhost:8443", Some("localhost:8443"), false),
            ("https://localhost:8444", Some("localhost:8443"), false),
            ("https://localhost:8443.evil.test", Some("localhost:8443"), false),
            ("https://evil.test", Some("localhost:8443"), false),
            ("null", Some("localhost:8443"), false),
            ("", Some(""), false),
            ("https://", Some(""), false),
        ] {
            assert_eq!(allowed(origin, host, &listed), want, "{origin} at {host:?}");
        }
    }
}

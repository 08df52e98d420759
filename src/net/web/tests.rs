//! What is answered to whom, and with which headers.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http_body_util::BodyExt as _;

use super::*;

fn client() -> Client {
    Pack::read(pack::tests::sample()).unwrap().into()
}

fn ask(client: &Client, method: &Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let (parts, body) = client.answer(method, path, &map).into_parts();
    let body = match pin!(body.collect()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(body) => body.unwrap().to_bytes(),
        Poll::Pending => panic!("a file waits"),
    };
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn get(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    ask(&client(), &Method::GET, path, headers)
}

const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

#[test]
fn the_smallest_form_that_is_understood_goes_out() {
    for (accepts, body, coding) in [
        ("gzip, deflate, br, zstd", "br", Some("br")),
        ("gzip", "gzp", Some("gzip")),
        ("br;q=0, gzip;q=0.5", "gzp", Some("gzip")),
        ("*", "br", Some("br")),
        ("*;q=0", "<page>", None),
        ("identity", "<page>", None),
        ("br;q=x", "<page>", None),
        ("", "<page>", None),
    ] {
        let (status, headers, text) = get("/", &[("accept-encoding", accepts)]);
        assert_eq!((status, text.as_str()), (StatusCode::OK, body), "{accepts}");
        assert_eq!(headers.get("content-encoding").map(|value| value.to_str().unwrap()), coding, "{accepts}");
        assert_eq!(headers["content-length"], body.len().to_string());
        assert_eq!(headers["vary"], "Accept-Encoding");
    }
}

#[test]
fn what_is_named_by_its_content_is_kept_and_all_else_is_asked_for_again() {
    let (_, headers, text) = get("/assets/app-1.js", &[]);
    assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!((headers["etag"].to_str().unwrap(), text.len()), ("\"bb\"", 100_000));
    for path in ["/", "/index.html", "/sw.js"] {
        let (_, headers, _) = get(path, &[]);
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
    }
}

#[test]
fn who_has_it_already_gets_the_headers_only() {
    for (mine, same) in [
        ("\"aa-br\"", true),
        ("W/\"aa-br\"", true),
        ("\"x\", \"aa-br\"", true),
        ("*", true),
        ("\"aa\"", false),
        ("aa-br", false),
    ] {
        let (status, headers, text) = get("/", &[("accept-encoding", "br"), ("if-none-match", mine)]);
        assert_eq!(status == StatusCode::NOT_MODIFIED, same, "{mine}");
        assert_eq!(text.is_empty(), same, "{mine}");
        // What is kept would take over the headers of a 304.
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], policy::PAGE);
        assert_eq!(headers["etag"], "\"aa-br\"");
    }
}

#[test]
fn addresses_of_the_client_are_its_page_and_those_of_programs_are_not() {
    for path in ["/rooms/1", "/sign-in", "/apis", "/wsx"] {
        assert_eq!(get(path, &[PAGE]).2, "<page>", "{path}");
        // A program that asks for what is not there is told so.
        assert_eq!(get(path, &[("accept", "*/*")]).0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/api", "/api/v2/x", "/ws", "/ws/chat", "/socket.io/", "/healthz/x", "/assets/app-0.js"] {
        let (status, headers, _) = get(path, &[PAGE]);
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(headers["content-type"], "application/problem+json", "{path}");
    }
    assert_eq!(get("/x", &[("accept", "text/html;q=0")]).0, StatusCode::NOT_FOUND);
    for client in [client(), Client::default()] {
        let (status, headers, _) = ask(&client, &Method::POST, "/", &[PAGE]);
        assert_eq!(
            (status, &headers["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET,HEAD"))
        );
    }
    assert_eq!(ask(&client(), &Method::POST, "/rooms", &[PAGE]).0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&client(), &Method::HEAD, "/rooms/1", &[PAGE]).0, StatusCode::OK);
}

#[test]
fn every_file_has_the_policy() {
    for path in ["/", "/assets/app-1.js", "/sw.js"] {
        let (_, headers, _) = get(path, &[]);
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(policy.contains("require-trusted-types-for 'script'") && policy.contains("frame-ancestors 'none'"));
    }
}

#[test]
fn a_binary_without_the_client_says_how_to_build_it() {
    let client = Client::default();
    for (path, headers) in [("/", &[][..]), ("/rooms/1", &[PAGE][..])] {
        let (status, headers, text) = ask(&client, &Method::GET, path, headers);
        assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &HTML));
        assert!(text.contains("make run"));
    }
    assert_eq!(ask(&client, &Method::GET, "/x", &[]).0, StatusCode::NOT_FOUND);
}

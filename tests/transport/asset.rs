//! Large files of the web client: whole for who reads slowly, an end for who reads nothing, and neither is felt by others.

use std::io::{Read, Write as _};
use std::time::Duration;

use causerie::net::Settings;
use causerie::net::web::Client;
use causerie::net::web::pack::Pack;

use crate::client::{Tls, answer, ask, tls};
use crate::server::{Options, Server};

/// More than the buffers of the kernel hold.
const LARGE: usize = 32 * 1024 * 1024;
const GET: &str = "GET /assets/large.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
const SMALL: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A pack as `scripts/web-pack.mjs` writes it: a page and a large script.
fn pack() -> &'static [u8] {
    let table = format!(
        r#"{{"files":[{{"path":"/index.html","type":"text/html","hash":"a","immutable":false,"plain":[0,4]}},
        {{"path":"/assets/large.js","type":"text/javascript","hash":"b","immutable":true,"plain":[4,{LARGE}]}}]}}"#
    );
    let mut pack = b"CWEB1\n".to_vec();
    pack.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
    pack.extend(table.as_bytes());
    pack.extend(b"page");
    pack.extend((0..LARGE).map(letter));
    pack.leak()
}

/// What stands at this place of the large file.
#[allow(clippy::cast_possible_truncation)] // It is below 26.
fn letter(n: usize) -> u8 {
    b'a' + (n / 1000 % 26) as u8
}

fn start() -> Server {
    let client = Client::from(Pack::read(pack()).unwrap());
    let router =
        axum::Router::new().fallback(async move |method: http::Method, uri: http::Uri, headers: http::HeaderMap| {
            client.answer(&method, uri.path(), &headers)
        });
    let (request_time, linger_time) = (Duration::from_millis(300), Duration::from_millis(100));
    let settings = Settings { request_time, linger_time, ..Settings::default() };
    Server::start(Options { settings, router, ..Options::default() })
}

/// Reads, and after each megabyte does something else.
struct Slow<'a> {
    stream: Tls,
    read: usize,
    pause: &'a dyn Fn(),
}

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let parts = self.read >> 20;
        let read = self.stream.read(into)?;
        self.read += read;
        if self.read >> 20 > parts {
            (self.pause)();
        }
        Ok(read)
    }
}

#[test]
fn who_reads_slowly_gets_all_of_it_though_it_takes_longer_than_a_request_may() {
    let server = start();
    let pause = || {
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(ask(&mut tls(&server), SMALL).body, "page");
    };
    let mut slow = Slow { stream: tls(&server), read: 0, pause: &pause };
    slow.stream.write_all(GET.as_bytes()).unwrap();
    let got = answer(&mut slow);
    assert_eq!((got.status, got.body.len()), (200, LARGE));
    assert!(got.body.bytes().enumerate().all(|(n, byte)| byte == letter(n)), "it is not what was packed");
}

#[test]
fn who_reads_nothing_is_ended_and_others_do_not_notice() {
    let server = start();
    let mut silent: Vec<_> = (0..8).map(|_| tls(&server)).collect();
    for stream in &mut silent {
        stream.write_all(GET.as_bytes()).unwrap();
    }
    while server.admission.open() > 0 {
        let mut other = tls(&server);
        assert_eq!(ask(&mut other, SMALL).body, "page");
        drop(other);
    }
}

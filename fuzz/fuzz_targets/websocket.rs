//! Any bytes as a client's WebSocket stream: the same events however the stream is cut, bounded, and nothing after the end.
#![no_main]

use causerie::wire::websocket::{Event, Parser, WebSocketLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (bytes, cuts) = input;
    let mut whole = Vec::new();
    Parser::new(WebSocketLimits::CHAT).feed(&bytes, &mut whole);

    let (mut parser, mut pieces, mut rest) = (Parser::new(WebSocketLimits::CHAT), Vec::new(), &bytes[..]);
    for cut in cuts {
        let (now, later) = rest.split_at(usize::from(cut).min(rest.len()));
        parser.feed(now, &mut pieces);
        rest = later;
    }
    parser.feed(rest, &mut pieces);
    assert_eq!(whole, pieces, "the cut of the stream is nobody's business");

    for (i, event) in whole.iter().enumerate() {
        match event {
            Event::Text(text) => assert!(text.len() <= WebSocketLimits::CHAT.message_bytes),
            Event::Binary(bytes) => assert!(bytes.len() <= WebSocketLimits::CHAT.message_bytes),
            Event::Ping(payload) => assert!(payload.len() <= 125),
            Event::Pong => {}
            Event::Close(_) | Event::Malformed { .. } => assert_eq!(i + 1, whole.len(), "nothing follows"),
        }
    }
});

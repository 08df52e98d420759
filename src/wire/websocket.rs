//! WebSocket (RFC 6455) over memory: a client's bytes in, events out, and the server's frames as bytes that receivers share.
//!
//! Promises: the events do not depend on how the stream of bytes was cut into pieces; no input makes it panic; a frame, a message
//! and its number of fragments are bounded before memory is taken for them; between messages it holds no buffer at all.
//! Framing, masking, fragments and UTF-8 are tungstenite's. It does not do: sending, closing in time, the upgrade.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

/// Bounds of what one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// Payload bytes of one frame.
    pub frame_bytes: usize,
    /// Payload bytes of one message, all fragments together.
    pub message_bytes: usize,
    /// Fragments of one message.
    pub fragments: u32,
    /// Bytes that are read into the parser at a time while a message is incomplete.
    pub read_bytes: usize,
}

impl WebSocketLimits {
    /// For the chat: one frame of the protocol, in a sane number of pieces.
    pub const CHAT: Self = Self {
        frame_bytes: crate::base::limits::FRAME_BYTES_MAX,
        message_bytes: crate::base::limits::FRAME_BYTES_MAX,
        fragments: 1024,
        read_bytes: 512,
    };
    /// For the echo path that outside judges talk to.
    pub const ECHO: Self =
        Self { frame_bytes: 16 << 20, message_bytes: 16 << 20, fragments: 65_536, read_bytes: 16 << 10 };
}

/// What a client's bytes meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete text message, valid UTF-8.
    Text(String),
    /// A complete binary message.
    Binary(Bytes),
    /// A ping: answer with [`pong_frame`] of the same payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The peer closes (or answers our close): answer with [`close_frame`] of this code. `None`: it gave no code. Nothing follows.
    Close(Option<u16>),
    /// The peer broke the protocol: close with this code of RFC 6455, 7.4.1. Nothing follows.
    Malformed {
        /// 1002 protocol error, 1007 not UTF-8, 1009 too big.
        code: u16,
        /// For the close frame; a few words.
        reason: &'static str,
    },
}

/// Reads one client's frames.
#[derive(Debug)]
pub struct Parser {
    limits: WebSocketLimits,
    /// Only while a message or frame is incomplete: an idle connection has none.
    context: Option<Box<WebSocketContext>>,
    scan: Scan,
    ended: bool,
}

impl Parser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new(limits: WebSocketLimits) -> Self {
        Self { limits, context: None, scan: Scan::default(), ended: false }
    }

    /// Whether the parser holds no buffer: the stream is between two messages.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.context.is_none()
    }

    /// Takes the next bytes of the stream and appends what they complete. After [`Event::Close`] and [`Event::Malformed`] nothing
    /// comes any more.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        if self.ended || bytes.is_empty() {
            return;
        }
        // How many of these bytes are fit to be parsed: the scan stops before one fragment too many.
        let allowed = self.scan.advance(bytes, self.limits.fragments);
        let mut pipe = Pipe { bytes: bytes.get(..allowed.unwrap_or(bytes.len())).unwrap_or_default() };
        let limits = self.limits;
        let context = self.context.get_or_insert_with(|| Box::new(new_context(limits)));
        loop {
            match context.read(&mut pipe) {
                Ok(Message::Text(text)) => events.push(Event::Text(text.as_str().to_owned())),
                Ok(Message::Binary(bytes)) => events.push(Event::Binary(bytes)),
                Ok(Message::Ping(payload)) => events.push(Event::Ping(payload)),
                Ok(Message::Pong(_)) => events.push(Event::Pong),
                Ok(Message::Close(frame)) => {
                    events.push(Event::Close(frame.map(|f| u16::from(f.code))));
                    return self.end();
                }
                // Never made when reading.
                Ok(Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    let (code, reason) = refusal(&error);
                    events.push(Event::Malformed { code, reason });
                    return self.end();
                }
            }
        }
        if allowed.is_some() {
            events.push(Event::Malformed { code: 1009, reason: "too many fragments" });
            return self.end();
        }
        if self.scan.between_messages() {
            self.context = None;
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.context = None;
    }
}

fn new_context(limits: WebSocketLimits) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(limits.read_bytes)
        .write_buffer_size(0)
        .max_write_buffer_size(usize::MAX)
        .max_frame_size(Some(limits.frame_bytes))
        .max_message_size(Some(limits.message_bytes));
    WebSocketContext::new(Role::Server, Some(config))
}

fn refusal(error: &Error) -> (u16, &'static str) {
    match error {
        Error::Capacity(_) => (1009, "message too big"),
        Error::Utf8(_) => (1007, "text is not UTF-8"),
        Error::Protocol(ProtocolError::UnmaskedFrameFromClient) => (1002, "frame not masked"),
        Error::Protocol(ProtocolError::NonZeroReservedBits) => (1002, "reserved bits set"),
        Error::Protocol(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => (1002, "protocol error"),
    }
}

/// What tungstenite reads from and writes to: this turn's bytes, and nothing (its automatic answers are made by the socket).
struct Pipe<'a> {
    bytes: &'a [u8],
}

impl Read for Pipe<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.read(into)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Follows frame headers only, to know what tungstenite does not tell: whether the stream is between two messages, and how many
/// fragments a message has. Says nothing about whether the bytes are valid.
#[derive(Debug, Default)]
struct Scan {
    head: [u8; 14],
    have: u8,
    payload_left: u64,
    open: bool,
    fragments: u32,
}

impl Scan {
    fn between_messages(&self) -> bool {
        self.have == 0 && self.payload_left == 0 && !self.open
    }

    /// Follows these bytes. `Some(n)`: the header that ends at or after byte `n` begins one fragment too many.
    fn advance(&mut self, bytes: &[u8], fragments_max: u32) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.payload_left > 0 {
                let rest = (bytes.len() - at) as u64;
                let skip = rest.min(self.payload_left);
                self.payload_left -= skip;
                // Not larger than a slice's length.
                at += usize::try_from(skip).unwrap_or(usize::MAX);
                continue;
            }
            self.head[usize::from(self.have)] = bytes[at];
            self.have += 1;
            at += 1;
            if usize::from(self.have) < self.head_bytes() {
                continue;
            }
            let (first, second) = (self.head[0], self.head[1]);
            self.payload_left = match second & 0x7f {
                126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
                127 => {
                    let mut wide = [0; 8];
                    wide.copy_from_slice(&self.head[2..10]);
                    u64::from_be_bytes(wide)
                }
                small => u64::from(small),
            };
            self.have = 0;
            if first & 0x08 == 0 {
                self.open = first & 0x80 == 0;
                self.fragments = if self.open { self.fragments + 1 } else { 0 };
                if self.fragments > fragments_max {
                    return Some(at - 1);
                }
            }
        }
        None
    }

    /// How long the header is, as far as is known.
    fn head_bytes(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        2 + mask
            + match self.head[1] & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            }
    }
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    // Exactly as long as the frame: a frame with one receiver then needs no second block for its count of holders.
    let head = match payload.len() {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    let mut out = Vec::with_capacity(head + payload.len());
    out.push(0x80 | opcode);
    match payload.len() {
        // The arms bound the length, so nothing is cut.
        #[allow(clippy::cast_possible_truncation)]
        n @ 0..=125 => out.push(n as u8),
        #[allow(clippy::cast_possible_truncation)]
        n @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

/// A whole text frame of the server: not masked, not encrypted. Made once, shared by all receivers.
#[must_use]
pub fn text_frame(payload: &str) -> Bytes {
    frame(0x1, payload.as_bytes()).into()
}

/// A whole binary frame of the server.
#[must_use]
pub fn binary_frame(payload: &[u8]) -> Bytes {
    frame(0x2, payload).into()
}

/// A ping with an empty payload.
#[must_use]
pub fn ping_frame() -> Bytes {
    Bytes::from_static(&[0x89, 0x00])
}

/// A pong that answers a ping's payload; what is above the 125 bytes of a control frame is cut.
#[must_use]
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame(0xa, payload.get(..125).unwrap_or(payload)).into()
}

/// A close frame. `None`: without a code. The reason is cut to what a control frame holds.
#[must_use]
pub fn close_frame(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return frame(0x8, &[]).into() };
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    frame(0x8, &payload).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame, as RFC 6455, 5.2 writes it.
    fn client(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = frame(0, payload);
        let head = out.len() - payload.len();
        out[0] = first;
        out[1] |= 0x80;
        let mask = [7, 99, 200, 13];
        let body: Vec<u8> = payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]).collect();
        out.truncate(head);
        out.extend_from_slice(&mask);
        out.extend_from_slice(&body);
        out
    }

    fn parse(parser: &mut Parser, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        parser.feed(bytes, &mut events);
        events
    }

    #[test]
    fn messages_pings_and_a_close_come_out_in_order_and_nothing_after() {
        let mut bytes = client(0x81, "héllo".as_bytes());
        bytes.extend(client(0x01, b"one "));
        bytes.extend(client(0x89, b"p"));
        bytes.extend(client(0x80, b"two"));
        bytes.extend(client(0x82, &[0, 1]));
        bytes.extend(client(0x8a, b""));
        bytes.extend(client(0x88, &[0x03, 0xe8]));
        bytes.extend(client(0x81, b"late"));
        let mut parser = Parser::new(WebSocketLimits::CHAT);
        assert_eq!(
            parse(&mut parser, &bytes),
            [
                Event::Text("héllo".into()),
                Event::Ping(Bytes::from_static(b"p")),
                Event::Text("one two".into()),
                Event::Binary(Bytes::from_static(&[0, 1])),
                Event::Pong,
                Event::Close(Some(1000)),
            ]
        );
        assert_eq!(parse(&mut parser, &bytes), []);
    }

    #[test]
    fn no_buffer_is_kept_between_messages_and_one_is_within() {
        let mut parser = Parser::new(WebSocketLimits::CHAT);
        let big = client(0x81, "x".repeat(60_000).as_bytes());
        assert_eq!(parse(&mut parser, &big[..30_000]), []);
        assert!(!parser.is_idle());
        assert_eq!(parse(&mut parser, &big[30_000..]).len(), 1);
        assert!(parser.is_idle());
        assert_eq!(parse(&mut parser, &client(0x01, b"half")), []);
        assert!(!parser.is_idle(), "inside a fragmented message");
        assert_eq!(parse(&mut parser, &client(0x89, b"")), [Event::Ping(Bytes::new())]);
        assert!(!parser.is_idle(), "a ping between fragments does not end the message");
        assert_eq!(parse(&mut parser, &client(0x80, b" whole")), [Event::Text("half whole".into())]);
        assert!(parser.is_idle());
    }

    #[test]
    fn every_violation_has_its_code() {
        let over = WebSocketLimits::CHAT.frame_bytes + 1;
        let mut two = client(0x01, &vec![b'x'; over / 2 + 1]);
        two.extend(client(0x80, &vec![b'x'; over / 2 + 1]));
        let cases: [(Vec<u8>, u16); 9] = [
            (frame(1, b"not masked"), 1002),
            (client(0xc1, b"rsv"), 1002),
            (client(0x83, b"reserved opcode"), 1002),
            (client(0x80, b"nothing to continue"), 1002),
            (client(0x09, b"fragmented ping"), 1002),
            (client(0x88, &[3]), 1002),
            (client(0x81, &[0xff, 0xfe]), 1007),
            (client(0x81, &vec![b'x'; over]), 1009),
            (two, 1009),
        ];
        for (bytes, code) in cases {
            let mut parser = Parser::new(WebSocketLimits::CHAT);
            match parse(&mut parser, &bytes).last() {
                Some(Event::Malformed { code: given, .. }) => assert_eq!(*given, code, "{:?}", &bytes[..4]),
                other => panic!("{other:?} for {:?}", &bytes[..4]),
            }
            assert!(parser.is_idle());
        }
    }

    #[test]
    fn too_large_a_frame_is_refused_by_its_header_alone() {
        let header = client(0x81, &vec![b'x'; WebSocketLimits::CHAT.frame_bytes + 1]);
        let mut parser = Parser::new(WebSocketLimits::CHAT);
        assert!(matches!(parse(&mut parser, &header[..14])[..], [Event::Malformed { code: 1009, .. }]));
    }

    #[test]
    fn fragments_are_counted_a_message() {
        let limits = WebSocketLimits { fragments: 3, ..WebSocketLimits::CHAT };
        let mut ok = client(0x01, b"a");
        ok.extend(client(0x00, b""));
        ok.extend(client(0x00, b""));
        ok.extend(client(0x80, b"b"));
        let mut parser = Parser::new(limits);
        for _ in 0..3 {
            assert_eq!(parse(&mut parser, &ok), [Event::Text("ab".into())]);
        }
        let mut flood = client(0x01, b"a");
        (0..3).for_each(|_| flood.extend(client(0x00, b"")));
        assert!(matches!(parse(&mut parser, &flood)[..], [Event::Malformed { code: 1009, .. }]));
    }

    #[test]
    fn frames_of_the_server_have_the_right_header_at_every_edge() {
        for (len, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let text = "x".repeat(len);
            let bytes = text_frame(&text);
            assert_eq!(bytes.len(), len + head);
            // tungstenite as the client reads it back.
            let mut client = WebSocketContext::new(Role::Client, None);
            let read = client.read(&mut Pipe { bytes: &bytes }).expect("a frame");
            assert_eq!(read, Message::text(text));
        }
        assert_eq!(&close_frame(Some(4401), "not authenticated")[..4], &[0x88, 19, 0x11, 0x31]);
        assert_eq!(close_frame(Some(1000), &"é".repeat(100)).len(), 2 + 2 + 122);
        assert_eq!(&close_frame(None, "")[..], &[0x88, 0]);
        assert_eq!(pong_frame(&[1; 300]).len(), 127);
        assert_eq!(&ping_frame()[..], &[0x89, 0]);
    }

    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "\\PC{0,40}".prop_map(|s| client(0x81, s.as_bytes())),
            "\\PC{0,20}".prop_map(|s| [client(0x01, s.as_bytes()), client(0x89, b"x"), client(0x80, b"end")].concat()),
            proptest::collection::vec(any::<u8>(), 0..200).prop_map(|b| client(0x82, &b)),
            Just(client(0x89, b"ping")),
            Just(client(0x8a, b"pong")),
            proptest::collection::vec(any::<u8>(), 0..12),
            Just(client(0x88, &[0x03, 0xe9])),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_events(bytes in streams(), cuts in proptest::collection::vec(1usize..50, 1..40)) {
            let mut whole = Parser::new(WebSocketLimits::CHAT);
            let expected = parse(&mut whole, &bytes);
            let mut parser = Parser::new(WebSocketLimits::CHAT);
            let (mut events, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                parser.feed(now, &mut events);
                rest = later;
            }
            prop_assert_eq!(events, expected);
            prop_assert_eq!(parser.is_idle(), whole.is_idle());
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut parser = Parser::new(WebSocketLimits { fragments: 2, ..WebSocketLimits::CHAT });
            parse(&mut parser, &bytes);
        }
    }
}

//! The receiving process: many clients that read, open and count, as fast as they can, on one thread.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::tls::client_config;
use super::{Shape, cpu_seconds, pin};
use crate::secure::Tls;
use crate::{Context as _, Failure};

/// The number under which the control connection stands in the epoll set.
const CONTROL: u64 = u64::MAX;
/// Connections that are on their way at the same time.
const OPENING: usize = 64;
/// Every one of them asks the same.
const REQUEST: &[u8] = b"GET /ws/chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Connects `shape.connections` times to the listener `data`, and reads until the sending process, at `control`, says that it is over.
///
/// # Errors
/// When a connection breaks, or more arrives than was sent.
pub fn connect(shape: &Shape, core: Option<usize>, data: &str, control: &str) -> Result<(), Failure> {
    pin(core)?;
    let tcp = TcpStream::connect(control).context(&format!("connecting to {control}"))?;
    tcp.set_nodelay(true).context("a socket")?;
    tcp.set_nonblocking(true).context("a socket")?;
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC).context("making an epoll set")?;
    epoll::add(&watch, &tcp, epoll::EventData::new_u64(CONTROL), epoll::EventFlags::IN).context("watching a socket")?;
    let mut receivers = Receivers {
        watch,
        config: client_config()?,
        all: Vec::with_capacity(shape.connections),
        discard: shape.discard,
        upgraded: 0,
        got: Got::default(),
        bytes: vec![0; 64 * 1024],
        opened: Vec::new(),
        out: Vec::new(),
    };
    receivers.listen(tcp, data, shape.connections)
}

/// What arrived after the upgrades.
#[derive(Clone, Copy, Debug, Default)]
struct Got {
    /// Opened bytes; none when they are thrown away.
    plain: u64,
    /// Bytes on the wire.
    cipher: u64,
}

struct Client {
    tcp: TcpStream,
    tls: Tls,
    asked: bool,
    /// What came of the answer; `None` once it is complete.
    answer: Option<Vec<u8>>,
}

struct Receivers {
    watch: OwnedFd,
    config: Arc<ClientConfig>,
    all: Vec<Client>,
    discard: bool,
    upgraded: usize,
    got: Got,
    bytes: Vec<u8>,
    opened: Vec<u8>,
    out: Vec<u8>,
}

impl Receivers {
    fn listen(&mut self, mut control: TcpStream, data: &str, wanted: usize) -> Result<(), Failure> {
        let mut events = Vec::with_capacity(1024);
        let mut heard = Vec::new();
        let mut told = false;
        let mut goal: Option<Got> = None;
        loop {
            while self.all.len() < wanted && self.all.len() - self.upgraded < OPENING {
                self.open(data)?;
            }
            events.clear();
            epoll::wait(&self.watch, rustix::buffer::spare_capacity(&mut events), None).context("waiting")?;
            for event in &events {
                if event.data.u64() == CONTROL {
                    let mut some = [0; 256];
                    match control.read(&mut some) {
                        Ok(0) => return Err(Failure::new("receiving", "the sending process went away")),
                        Ok(read) => heard.extend_from_slice(some.get(..read).unwrap_or_default()),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(Failure::new("receiving", error)),
                    }
                } else {
                    self.read(usize::try_from(event.data.u64()).unwrap_or(usize::MAX))?;
                }
            }
            if !told && self.upgraded == wanted {
                told = true;
                say(&mut control, "all")?;
            }
            while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = heard.drain(..=end).collect();
                match parse(&String::from_utf8_lossy(&line))? {
                    None => return Ok(()),
                    some => goal = some,
                }
            }
            if let Some(wanted) = goal {
                let over = self.got.cipher > wanted.cipher || self.got.plain > wanted.plain;
                if over {
                    return Err(Failure::new("receiving", "more arrived than was sent"));
                }
                if self.got.cipher == wanted.cipher {
                    if !self.discard && self.got.plain != wanted.plain {
                        return Err(Failure::new("receiving", "what was opened is not what was sealed"));
                    }
                    goal = None;
                    say(&mut control, "drained")?;
                }
            }
        }
    }

    fn open(&mut self, data: &str) -> Result<(), Failure> {
        let mut tcp = TcpStream::connect(data).context(&format!("connecting to {data}"))?;
        tcp.set_nodelay(true).context("a socket")?;
        let name = ServerName::try_from("localhost").context("naming the server")?;
        self.out.clear();
        let tls = Tls::new(Arc::clone(&self.config), name, &mut self.out).context("making a TLS connection")?;
        tcp.write_all(&self.out).context("sending a hello")?;
        tcp.set_nonblocking(true).context("a socket")?;
        let data = epoll::EventData::new_u64(self.all.len() as u64);
        epoll::add(&self.watch, &tcp, data, epoll::EventFlags::IN).context("watching a socket")?;
        self.all.push(Client { tcp, tls, asked: false, answer: Some(Vec::new()) });
        Ok(())
    }

    fn read(&mut self, place: usize) -> Result<(), Failure> {
        let Some(client) = self.all.get_mut(place) else { return Ok(()) };
        let read = match client.tcp.read(&mut self.bytes) {
            Ok(0) => return Err(Failure::new("receiving", "the sending process closed a connection")),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Failure::new("receiving", error)),
        };
        let fresh = self.bytes.get_mut(..read).unwrap_or_default();
        let Some(answer) = &mut client.answer else {
            self.got.cipher += read as u64;
            if !self.discard {
                self.opened.clear();
                client.tls.feed(fresh, &mut self.opened, &mut self.out).context("TLS")?;
                self.got.plain += self.opened.len() as u64;
            }
            return not_ended(client.tls.ended);
        };
        self.out.clear();
        client.tls.feed(fresh, answer, &mut self.out).context("TLS")?;
        not_ended(client.tls.ended)?;
        if client.tls.established && !client.asked {
            client.asked = true;
            client.tls.seal(REQUEST, &mut self.out).context("sealing")?;
        }
        if !self.out.is_empty() {
            client.tcp.write_all(&self.out).context("asking for the upgrade")?;
        }
        if answer.ends_with(b"\r\n\r\n") {
            if !answer.starts_with(b"HTTP/1.1 101 ") {
                return Err(Failure::new("asking for the upgrade", String::from_utf8_lossy(answer)));
            }
            client.answer = None;
            self.upgraded += 1;
        }
        Ok(())
    }
}

fn not_ended(ended: bool) -> Result<(), Failure> {
    if ended { Err(Failure::new("TLS", "the peer ended the connection")) } else { Ok(()) }
}

/// `drain CIPHER PLAIN`, or `end` (`None`).
fn parse(line: &str) -> Result<Option<Got>, Failure> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["end"] => Ok(None),
        ["drain", cipher, plain] => Ok(Some(Got {
            cipher: cipher.parse().context("hearing from the sending process")?,
            plain: plain.parse().context("hearing from the sending process")?,
        })),
        _ => Err(Failure::new("hearing from the sending process", format!("it said {line:?}"))),
    }
}

/// A word and what this process has used of its CPU.
fn say(control: &mut TcpStream, word: &str) -> Result<(), Failure> {
    control.write_all(format!("{word} {}\n", cpu_seconds()).as_bytes()).context("telling the sending process")
}

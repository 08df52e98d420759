//! JSON lines over TLS: one value a line, read with a limit of time, so that whoever reads can look after other things between.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, ServerConnection, StreamOwned};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context as _, Failure};

/// A line may be so long: the report of a run of hours has some megabytes.
const LINE_MAX: usize = 256 << 20;
/// Who takes nothing for so long is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// One side of a line.
pub(super) struct Line {
    stream: Box<dyn Both>,
    tcp: TcpStream,
    buffer: Vec<u8>,
    /// So much of the buffer holds no end of a line.
    searched: usize,
}

impl Line {
    pub(super) fn of_server(tcp: TcpStream, tls: ServerConnection) -> Result<Self, Failure> {
        let other = tcp.try_clone().context("preparing a line")?;
        Self::new(other, Box::new(StreamOwned::new(tls, tcp)))
    }

    pub(super) fn of_client(tcp: TcpStream, tls: ClientConnection) -> Result<Self, Failure> {
        let other = tcp.try_clone().context("preparing a line")?;
        Self::new(other, Box::new(StreamOwned::new(tls, tcp)))
    }

    fn new(tcp: TcpStream, stream: Box<dyn Both>) -> Result<Self, Failure> {
        let what = "preparing a line";
        tcp.set_nonblocking(false).context(what)?;
        tcp.set_nodelay(true).context(what)?;
        tcp.set_write_timeout(Some(WRITE_LIMIT)).context(what)?;
        Ok(Self { stream, tcp, buffer: Vec::new(), searched: 0 })
    }

    pub(super) fn say<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_vec(value).context("writing a line")?;
        text.push(b'\n');
        self.stream.write_all(&text).and_then(|()| self.stream.flush()).context("the line is cut")
    }

    /// The next value; `None` when there is none within this time. Half a line is kept for the next call.
    pub(super) fn hear<T: DeserializeOwned>(&mut self, within: Duration) -> Result<Option<T>, Failure> {
        let end = Instant::now() + within;
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
                self.searched = 0;
                return serde_json::from_slice(&line).map(Some).context("what came is not understood");
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LINE_MAX {
                return Err(Failure::new("reading a line", "it does not end"));
            }
            let left = end.saturating_duration_since(Instant::now());
            // A limit of zero would be none.
            self.tcp.set_read_timeout(Some(left.max(Duration::from_millis(1)))).context("reading a line")?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Failure::new("reading a line", "the other side is gone")),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(Failure::new("reading a line", why)),
            }
        }
    }
}

//! The little HTTP/1.1 that preparing a run needs: one kept-alive connection, JSON bodies, answers with a length or in chunks.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;

use crate::tls::{self, Stream};
use crate::{Context as _, Failure};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A connection to the REST interface. It is opened again when the server closed it between two requests.
pub struct Http {
    address: String,
    config: Arc<ClientConfig>,
    stream: Option<BufReader<Stream>>,
}

impl Http {
    /// Talks to `host:port` from the first request on.
    #[must_use]
    pub fn new(address: &str, config: &Arc<ClientConfig>) -> Self {
        Self { address: address.to_owned(), config: config.clone(), stream: None }
    }

    /// One request. `token` becomes `Authorization: Bearer`.
    ///
    /// # Errors
    /// When the server cannot be reached or its answer is not HTTP.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let what = format!("{method} {path}");
        let body = body.map(Value::to_string);
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(token) = token {
            let _ = write!(head, "Authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(body) = &body {
            let _ = write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        head += body.as_deref().unwrap_or("");
        let fresh = self.stream.is_none();
        match self.exchange(head.as_bytes()) {
            Ok(answer) => Ok(answer),
            // An idle connection may be closed at any time; a fresh one that fails is a failure.
            Err(_) if !fresh && method == "GET" => {
                self.stream = None;
                self.exchange(head.as_bytes()).context(&what)
            }
            Err(why) => {
                self.stream = None;
                Err(Failure::new(what, why))
            }
        }
    }

    fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            let stream = tls::connect(&self.address, &self.config)?;
            stream.sock.set_read_timeout(Some(Duration::from_mins(1))).context("setting a limit")?;
            BufReader::new(stream)
        };
        stream.get_mut().write_all(request).context("sending")?;
        stream.get_mut().flush().context("sending")?;
        let answer = read_answer(&mut stream)?;
        if answer.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// Reads one answer.
///
/// # Errors
/// When it ends early or is not HTTP.
pub fn read_answer(stream: &mut BufReader<Stream>) -> Result<Answer, Failure> {
    let status_line = line(stream)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| Failure::new("reading an answer", format!("not a status line: {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let text = line(stream)?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = line(stream)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16).context("a chunk")?;
            let start = answer.body.len();
            answer.body.resize(start + size, 0);
            stream.read_exact(&mut answer.body[start..]).context("a chunk")?;
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().context("a length")?;
        answer.body.resize(length, 0);
        stream.read_exact(&mut answer.body).context("a body")?;
    } else if status != 204 && status != 304 && status >= 200 {
        let mut body = Vec::new();
        let _ = stream.read_to_end(&mut body);
        answer.body = body;
    }
    Ok(answer)
}

fn line(stream: &mut BufReader<Stream>) -> Result<String, Failure> {
    let mut text = String::new();
    let read = stream.read_line(&mut text).context("reading an answer")?;
    if read == 0 {
        return Err(Failure::new("reading an answer", "the connection ended"));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

//! The sending process: accepts all receivers, then measures every setup in turn, window after window.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::epoll;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;

use super::figures::{Figure, Limit};
use super::send::{Seat, Sender, frame};
use super::tls::server_config;
use super::{Order, Places, Shape, cpu_seconds, pin};
use crate::secure::Tls;
use crate::{Context as _, Failure, observe};

/// The number under which the listener stands in the epoll set.
const LISTENER: u64 = u64::MAX;

/// Listens on two free ports of `address`, says which as one line of JSON, waits for the receivers and measures.
///
/// # Errors
/// When a receiver goes away, or the machine does not allow so many sockets.
pub fn serve(shape: &Shape, core: Option<usize>, address: &str, say: &mut dyn Write) -> Result<Limit, Failure> {
    pin(core)?;
    let config = server_config()?;
    let data = TcpListener::bind((address, 0)).context("listening")?;
    let control = TcpListener::bind((address, 0)).context("listening")?;
    let places = Places {
        data: data.local_addr().context("listening")?.to_string(),
        control: control.local_addr().context("listening")?.to_string(),
    };
    writeln!(say, "{}", serde_json::to_string(&places).unwrap_or_default()).context("saying where it listens")?;
    say.flush().context("saying where it listens")?;

    let (control, _) = control.accept().context("waiting for the receiving process")?;
    let mut control =
        Control { lines: BufReader::new(control.try_clone().context("a socket")?), tcp: control, cpu: 0.0 };
    let usage = || observe::usage(None).ok_or_else(|| Failure::new("reading /proc", "nothing there"));
    let (memory, cpu) = (usage()?.rss_bytes, cpu_seconds());
    let (seats, watch) = accept(&data, &config, shape.connections)?;
    let count = f64::from(u32::try_from(shape.connections).unwrap_or(u32::MAX));
    let connect_cpu_ms = (cpu_seconds() - cpu) * 1e3 / count;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
    let rss_per_connection = usage()?.rss_bytes.saturating_sub(memory) as f64 / count;
    control.hear("all")?;

    let order = order(shape);
    let group = shape.group.iter().max().copied().unwrap_or(1);
    let mut sender = Sender::new(seats, order, shape.room_size, group, shape.payload);
    sender.prepare(&shape.send)?;
    let mut windows = Vec::new();
    for _ in 0..shape.repeat {
        for setup in shape.setups() {
            let mut window = sender.window(setup, shape.seconds)?;
            let end = Instant::now();
            let before = control.cpu;
            control.say(&format!("drain {} {}\n", sender.sent.cipher, sender.sent.plain))?;
            control.hear("drained")?;
            window.receiver_cpu_seconds = control.cpu - before;
            window.drained_after_seconds = end.elapsed().as_secs_f64();
            windows.push(window);
        }
    }
    control.end()?;
    // The sockets stood in it all the time, as they do in a server.
    drop(watch);
    let setups = shape.setups();
    let figures = setups.iter().map(|setup| Figure::of(*setup, &windows, setups.len())).collect();
    let frame_bytes = frame(shape.payload).len();
    Ok(Limit { format: 1, shape: shape.clone(), frame_bytes, connect_cpu_ms, rss_per_connection, figures, windows })
}

/// The connection on which both processes agree.
struct Control {
    lines: BufReader<TcpStream>,
    tcp: TcpStream,
    /// What the receiving process said of its CPU seconds.
    cpu: f64,
}

impl Control {
    fn say(&mut self, line: &str) -> Result<(), Failure> {
        self.tcp.write_all(line.as_bytes()).context("telling the receiving process")
    }

    /// Says that it is over, and waits until the receiving process has heard it: it would take the end of its sockets for a fault.
    fn end(&mut self) -> Result<(), Failure> {
        self.say("end\n")?;
        self.lines.read_line(&mut String::new()).context("hearing the end of the receiving process").map(drop)
    }

    fn hear(&mut self, word: &str) -> Result<(), Failure> {
        let mut line = String::new();
        self.lines.read_line(&mut line).context("hearing from the receiving process")?;
        let cpu = line.strip_prefix(word).and_then(|rest| rest.trim().parse().ok());
        self.cpu =
            cpu.ok_or_else(|| Failure::new("hearing from the receiving process", format!("it said {line:?}")))?;
        Ok(())
    }
}

/// Rooms one after the other.
fn order(shape: &Shape) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shape.connections).collect();
    if shape.order != Order::Accept {
        // xorshift: any chance will do, as long as it is the same each time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for at in (1..order.len()).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            order.swap(at, usize::try_from(state % (at as u64 + 1)).unwrap_or(at));
        }
    }
    if shape.order == Order::Sorted {
        order.chunks_mut(shape.room_size).for_each(<[usize]>::sort_unstable);
    }
    order
}

/// A connection on its way.
struct Coming {
    tcp: TcpStream,
    tls: Tls<UnbufferedServerConnection>,
    request: Vec<u8>,
    upgraded: bool,
}

/// Accepts until `wanted` connections are upgraded; answers them in the order of their arrival, and the set that watches them.
fn accept(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    wanted: usize,
) -> Result<(Vec<Seat>, std::os::fd::OwnedFd), Failure> {
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC).context("making an epoll set")?;
    listener.set_nonblocking(true).context("listening")?;
    let readable = epoll::EventFlags::IN;
    epoll::add(&watch, listener, epoll::EventData::new_u64(LISTENER), readable).context("watching the listener")?;
    let mut all: Vec<Coming> = Vec::with_capacity(wanted);
    let mut upgraded = 0;
    let mut events = Vec::with_capacity(256);
    let mut bytes = vec![0; 16 * 1024];
    let mut out = Vec::new();
    while upgraded < wanted {
        events.clear();
        epoll::wait(&watch, rustix::buffer::spare_capacity(&mut events), None).context("waiting for receivers")?;
        for event in &events {
            if event.data.u64() == LISTENER {
                let tcp = match listener.accept() {
                    Ok((tcp, _)) => tcp,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(Failure::new("accepting (the limit of open files?)", error)),
                };
                tcp.set_nonblocking(true).context("a socket")?;
                tcp.set_nodelay(true).context("a socket")?;
                let data = epoll::EventData::new_u64(all.len() as u64);
                epoll::add(&watch, &tcp, data, readable).context("watching a socket")?;
                all.push(Coming {
                    tcp,
                    tls: Tls::server(Arc::clone(config)).context("making a TLS connection")?,
                    request: Vec::new(),
                    upgraded: false,
                });
                continue;
            }
            let place = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(coming) = all.get_mut(place) else { continue };
            let was = coming.upgraded;
            coming.read(&mut bytes, &mut out)?;
            upgraded += usize::from(coming.upgraded && !was);
        }
    }
    Ok((all.into_iter().map(|coming| Seat { tcp: coming.tcp, tls: coming.tls }).collect(), watch))
}

impl Coming {
    fn read(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let read = match self.tcp.read(bytes) {
            Ok(0) => return Err(Failure::new("accepting", "a receiver went away")),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Failure::new("accepting", error)),
        };
        out.clear();
        let fresh = bytes.get_mut(..read).unwrap_or_default();
        self.tls.feed(fresh, &mut self.request, out).context("TLS")?;
        if self.tls.ended {
            return Err(Failure::new("TLS", "the peer ended the connection"));
        }
        if self.request.ends_with(b"\r\n\r\n") {
            self.tls.seal(answer(&self.request)?.as_bytes(), out).context("sealing")?;
            self.upgraded = true;
            self.request = Vec::new();
        }
        // A fresh socket takes a handshake's few kilobytes.
        self.tcp.write_all(out).context("answering a receiver")
    }
}

/// The answer to a request to become a WebSocket.
fn answer(request: &[u8]) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(request);
    let key = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    let key = key.ok_or_else(|| Failure::new("accepting", "a request without Sec-WebSocket-Key"))?;
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

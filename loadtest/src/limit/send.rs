//! One window of sealing and sending: room after room, each a burst of writes, in one of several ways.
//!
//! Promises: what a receiver gets is in order and complete; a write that the kernel does not take is waited for and counted, so a
//! limit reached by full buffers can be seen. No frame is encoded here: a room's frame is made once, as a server does it.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustls::server::UnbufferedServerConnection;

use super::figures::Window;
use super::ring::{Options, Ring, Send};
use super::{Setup, Way, cpu_seconds};
use crate::secure::{RECORD, Tls};
use crate::{Context as _, Failure};

/// Bytes of plaintext that a TLS record may hold.
pub(super) const RECORD_PLAIN: usize = 16 * 1024;

/// One receiver, as the sender holds it.
pub(super) struct Seat {
    pub(super) tcp: TcpStream,
    pub(super) tls: Tls<UnbufferedServerConnection>,
}

/// A WebSocket text frame that looks like Causerie's `chat` with a content of `payload` characters.
pub(super) fn frame(payload: usize) -> Vec<u8> {
    let text = format!(
        "{{\"type\":\"chat\",\"timestamp\":\"2026-11-22T13:45:09.001Z\",\"user_id\":\"0190b6a1-0000-7000-8000-00000000a11c\",\
         \"room_id\":\"01935000-2222-7000-8000-000000000007\",\"message_id\":\"00000000-002a-8001-bde1-f33f23557a90\",\"seq\":42,\
         \"content\":\"{}\",\"metadata\":{{\"number\":39,\"epoch\":1,\"message_type\":\"text\"}}}}",
        "x".repeat(payload)
    );
    let mut frame = vec![0x81];
    if let Ok(short) = u8::try_from(text.len())
        && short < 126
    {
        frame.push(short);
    } else {
        // A content of 4,096 characters is far below what 16 bits count.
        frame.push(126);
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// What was handed to the kernel since the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Bytes before sealing.
    pub(super) plain: u64,
    /// Bytes on the wire.
    pub(super) cipher: u64,
    /// Writes that were waited for.
    pub(super) blocked: u64,
}

/// All receivers, and what is needed to send to them.
pub(super) struct Sender {
    seats: Vec<Seat>,
    /// Places in `seats`, room by room.
    order: Vec<usize>,
    room_size: usize,
    /// Where in `order` the next room begins.
    next: usize,
    /// The largest group.
    group: usize,
    frame: Vec<u8>,
    /// Sealed and not sent yet.
    sealed: Vec<u8>,
    /// To whom which part of `sealed` goes.
    waiting: Vec<(usize, usize, usize)>,
    rings: [Option<Ring>; 2],
    pub(super) sent: Sent,
}

impl Sender {
    /// Sends to `seats`, whose rooms are the consecutive parts of `order`, in groups of `group` at most.
    pub(super) fn new(seats: Vec<Seat>, order: Vec<usize>, room_size: usize, group: usize, payload: usize) -> Self {
        // A group holds nobody twice, so that what one of its writes leaves over can be sent before the next one to the same.
        let group = group.min(order.len()).max(1);
        Self {
            seats,
            order,
            room_size,
            next: 0,
            group,
            frame: frame(payload),
            sealed: Vec::new(),
            waiting: Vec::new(),
            rings: [None, None],
            sent: Sent::default(),
        }
    }

    /// Makes the rings that `ways` need.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub(super) fn prepare(&mut self, ways: &[Way]) -> Result<(), Failure> {
        let [simple, fixed] = &mut self.rings;
        if ways.contains(&Way::Uring) {
            *simple = Some(Ring::new(self.group, &[], Options::default()).context("making an io_uring")?);
        }
        if ways.contains(&Way::Fixed) {
            let sockets: Vec<RawFd> = self.seats.iter().map(|seat| seat.tcp.as_raw_fd()).collect();
            let ring = Ring::new(self.group, &sockets, Options { registered: true });
            *fixed = Some(ring.context("making an io_uring with registered sockets")?);
        }
        Ok(())
    }

    /// Sends for `seconds`. The receiver's part of the window is filled in by the caller.
    ///
    /// # Errors
    /// When a receiver is gone.
    pub(super) fn window(&mut self, setup: Setup, seconds: f64) -> Result<Window, Failure> {
        let frames = self.frame.repeat(setup.batch);
        let blocked = self.sent.blocked;
        let (mut writes, mut planned) = (0_u64, 0.0);
        let preempted = preempted();
        let cpu = cpu_seconds();
        let start = Instant::now();
        loop {
            if setup.rate > 0.0
                && let Some(early) = Duration::from_secs_f64(planned / setup.rate).checked_sub(start.elapsed())
                && !early.is_zero()
            {
                std::thread::sleep(early);
            }
            if start.elapsed().as_secs_f64() >= seconds {
                break;
            }
            let burst = self.burst(setup, &frames)?;
            writes += burst as u64;
            #[expect(clippy::cast_precision_loss, reason = "a burst is a few thousand")]
            {
                planned += (burst * setup.batch) as f64;
            }
            if setup.rate > 0.0 {
                // A server writes before it sleeps.
                self.flush(setup.way)?;
            }
        }
        self.flush(setup.way)?;
        let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        Ok(Window {
            setup,
            seconds,
            deliveries: writes * setup.batch as u64,
            writes,
            cpu_seconds,
            preempted: self::preempted().saturating_sub(preempted),
            blocked: self.sent.blocked - blocked,
            receiver_cpu_seconds: 0.0,
            drained_after_seconds: 0.0,
        })
    }

    /// Seals `frames` for everybody in the next room and sends it, or lets a part of it wait for its group. Answers how many.
    fn burst(&mut self, setup: Setup, frames: &[u8]) -> Result<usize, Failure> {
        if frames.len() > RECORD {
            return Err(Failure::new("sealing", "it is more than one record; take a smaller batch"));
        }
        let from = self.next;
        let to = (from + self.room_size).min(self.order.len());
        self.next = if to == self.order.len() { 0 } else { to };
        let group = setup.group.min(self.group);
        for place in from..to {
            let at = self.order.get(place).copied().unwrap_or_default();
            let Some(seat) = self.seats.get_mut(at) else { continue };
            let begin = self.sealed.len();
            seat.tls.seal(frames, &mut self.sealed).context("sealing")?;
            self.waiting.push((at, begin, self.sealed.len()));
            self.sent.plain += frames.len() as u64;
            self.sent.cipher += (self.sealed.len() - begin) as u64;
            if self.waiting.len() >= group {
                self.flush(setup.way)?;
            }
        }
        Ok(to - from)
    }

    /// Sends what waits.
    fn flush(&mut self, way: Way) -> Result<(), Failure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        match way {
            Way::Plain | Way::Grouped => {
                for &(at, from, to) in &self.waiting {
                    let (Some(seat), Some(bytes)) = (self.seats.get(at), self.sealed.get(from..to)) else { continue };
                    let taken = match rustix::net::send(&seat.tcp, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                        Ok(taken) => taken,
                        Err(Errno::AGAIN) => 0,
                        Err(error) => return Err(Failure::new("sending", error)),
                    };
                    if taken < bytes.len() {
                        self.sent.blocked += 1;
                        rest(&seat.tcp, bytes.get(taken..).unwrap_or_default())?;
                    }
                }
            }
            Way::Uring | Way::Fixed => self.submit(way)?,
        }
        self.waiting.clear();
        self.sealed.clear();
        Ok(())
    }

    fn submit(&mut self, way: Way) -> Result<(), Failure> {
        let [simple, fixed] = &mut self.rings;
        let ring = if way == Way::Fixed { fixed } else { simple };
        let ring = ring.as_mut().ok_or_else(|| Failure::new("io_uring", "it was not prepared"))?;
        let mut sends = Vec::with_capacity(self.group);
        for group in self.waiting.chunks(ring.capacity()) {
            sends.clear();
            for &(at, from, to) in group {
                let Some(seat) = self.seats.get(at) else { continue };
                sends.push(Send::new(ring, seat.tcp.as_fd(), at, from, to));
            }
            let mut left_over = Vec::new();
            let mut failed = None;
            ring.submit(&sends, &self.sealed, |place, answer| {
                let Some(&(at, from, to)) = group.get(place) else { return };
                match usize::try_from(answer) {
                    Ok(taken) if taken < to - from => left_over.push((at, from + taken, to)),
                    Ok(_) => {}
                    Err(_) if answer == -Errno::AGAIN.raw_os_error() => left_over.push((at, from, to)),
                    Err(_) => failed = Some(io::Error::from_raw_os_error(-answer)),
                }
            })
            .context("sending through io_uring")?;
            if let Some(error) = failed {
                return Err(Failure::new("sending through io_uring", error));
            }
            for (at, from, to) in left_over {
                let (Some(seat), Some(bytes)) = (self.seats.get(at), self.sealed.get(from..to)) else { continue };
                self.sent.blocked += 1;
                rest(&seat.tcp, bytes)?;
            }
        }
        Ok(())
    }
}

/// How often this process was put off its core without wanting it; 0 where the kernel does not say.
fn preempted() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Sends what the kernel did not take at once, waiting for it.
fn rest(tcp: &TcpStream, mut bytes: &[u8]) -> Result<(), Failure> {
    while !bytes.is_empty() {
        poll(&mut [PollFd::new(tcp, PollFlags::OUT)], None).context("waiting for a receiver")?;
        match rustix::net::send(tcp, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(Failure::new("sending", error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_websocket_frame_of_a_chat() {
        let frame = frame(200);
        assert_eq!(frame.get(..2), Some(&[0x81, 126][..]));
        let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
        assert_eq!(length, frame.len() - 4);
        let text: serde_json::Value = serde_json::from_slice(&frame[4..]).unwrap();
        assert_eq!(text["type"], "chat");
        assert_eq!(text["content"].as_str().unwrap().len(), 200);
    }
}

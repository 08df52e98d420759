//! Listening: a socket a shard on one address (SO_REUSEPORT), and the loop that accepts, shakes hands and serves.
//!
//! Promises: an address that somebody else listens on is refused, although SO_REUSEPORT would allow it; what does not fit the
//! limits is turned away before TLS costs anything; handshakes under way are bounded and end in time; running out of files
//! stops accepting for a moment and nothing else; the shard's gate stops accepting at once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use glommio::net::{TcpListener, TcpStream};
use glommio::sync::Semaphore;
use socket2::{Domain, Protocol, Socket, Type};

use super::limits::Place;
use super::stream::{self, HandshakeFailure};
use crate::runtime::launch::Held;
use crate::runtime::portions::{Waited, step};

use super::{Scratch, ShardContext, SharedScratch, Site, http, socket};

/// Connections that wait in the kernel for one shard to accept them (`net.core.somaxconn` may cut it).
const BACKLOG: i32 = 4096;
/// How long nothing is accepted after the process ran out of files.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How often a waiting handshake looks at the crowd.
const CROWD_TICK: Duration = Duration::from_millis(250);

/// A bound and listening socket, to be handed to one shard.
#[derive(Debug)]
pub struct Bound {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Where it listens (with the port that was chosen for port 0).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds `address` once for each shard. Port 0 takes a free one, the same for all.
///
/// # Errors
/// When the address is taken or may not be used; the text says so.
pub fn bind(address: SocketAddr, shards: usize) -> io::Result<Vec<Bound>> {
    let explain = |error: io::Error| {
        let advice = if error.kind() == io::ErrorKind::AddrInUse {
            "something else listens there; stop it or choose another port"
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"
        } else {
            "check that this machine has that address"
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; {advice}"))
    };
    // Without SO_REUSEPORT: finds out whether somebody else is there, which the shared ones below would not.
    let probe = open(address, false).map_err(explain)?;
    let address = probe.local_addr().map_err(explain)?.as_socket().unwrap_or(address);
    drop(probe);
    (0..shards)
        .map(|_| {
            let socket = open(address, true).map_err(explain)?;
            socket.listen(BACKLOG).map_err(explain)?;
            Ok(Bound { socket: socket.into(), address })
        })
        .collect()
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    // Connections of an earlier run that linger in TIME_WAIT do not matter.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts and serves on this shard until its gate is closed; connections go on in tasks of their own. To be spawned into
/// `shard.requests`.
pub fn serve(bound: Bound, site: Site, shard: ShardContext) -> impl Future<Output = ()> + 'static {
    let portions = Rc::clone(&shard.portions);
    portions.task(Waited::default(), accept(bound, site, shard))
}

async fn accept(bound: Bound, site: Site, shard: ShardContext) {
    let Ok(twin) = bound.socket.try_clone() else {
        return tracing::error!(address = %bound.address, "no file descriptor is left for listening; see the limit of open files");
    };
    // Closing a descriptor is not enough at the end: an accept under way in the ring would keep the socket listening.
    let _stop = StopListening(twin);
    let fd = bound.socket.into_raw_fd();
    // SAFETY: the descriptor was just given up by its only owner and is a listening TCP socket, which is what glommio asks for.
    #[allow(unsafe_code)]
    let listener = unsafe { TcpListener::from_raw_fd(fd) };
    let scratch = Scratch::shared();
    let crowd = Rc::new(Crowd { places: Rc::new(Semaphore::new(site.settings.handshakes_per_shard as u64)) });
    loop {
        let Ok(permit) = crowd.places.acquire_static_permit(1).await else { return };
        if shard.gate.is_closed() {
            return;
        }
        let accepted = {
            let accept = std::pin::pin!(listener.accept());
            let stop = std::pin::pin!(shard.gate.closed());
            match select(accept, stop).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => return,
            }
        };
        let tcp = match accepted {
            Ok(tcp) => tcp,
            Err(error) => {
                let error = io::Error::from(error);
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
                    tracing::warn!(%error, "cannot accept a connection; trying again (see the limit of open files)");
                    glommio::timer::sleep(EXHAUSTED_PAUSE).await;
                }
                continue;
            }
        };
        let Ok(peer) = tcp.peer_addr().map(|peer| peer.ip().to_canonical()) else { continue };
        let Some(place) = site.admission.enter(peer) else {
            tracing::debug!(%peer, "turned away: too many connections");
            continue;
        };
        let seat = Seat { _place: place, _held: shard.hold.as_ref().map(|hold| hold()) };
        let _ = tcp.set_nodelay(true);
        let waited = Waited::default();
        let connection = connection(
            tcp,
            peer,
            seat,
            permit,
            site.clone(),
            shard.clone(),
            Rc::clone(&scratch),
            Rc::clone(&crowd),
            waited.clone(),
        );
        if let Ok(task) = glommio::spawn_local_into(shard.portions.task(waited, connection), shard.requests) {
            task.detach();
        }
        step().await;
    }
}

/// Takes the socket out of service when dropped.
struct StopListening(std::net::TcpListener);

impl Drop for StopListening {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// What a connection takes up, from accept to the end of its TCP.
pub(crate) struct Seat {
    _place: Place,
    _held: Option<Held>,
}

/// Handshakes under way on this shard.
struct Crowd {
    places: Rc<Semaphore>,
}

impl Crowd {
    fn full(&self) -> bool {
        self.places.available() == 0
    }
}

#[allow(clippy::too_many_arguments)]
async fn connection(
    tcp: TcpStream,
    peer: IpAddr,
    seat: Seat,
    permit: glommio::sync::StaticPermit,
    site: Site,
    shard: ShardContext,
    scratch: SharedScratch,
    crowd: Rc<Crowd>,
    waited: Waited,
) {
    let settings = &site.settings;
    let shaken = {
        let shake = std::pin::pin!(stream::handshake(tcp, site.certs.server_config(), &scratch));
        let patience =
            std::pin::pin!(patience(&crowd, &waited, settings.handshake_time, settings.crowded_handshake_time));
        match select(shake, patience).await {
            Either::Left((shaken, _)) => Some(shaken),
            Either::Right(_) => None,
        }
    };
    let stream = match shaken {
        Some(Ok(stream)) => {
            shard.counters.borrow_mut().handshakes += 1;
            stream
        }
        failed => {
            shard.counters.borrow_mut().handshakes_failed += 1;
            match failed {
                Some(Err(HandshakeFailure::NotTls(io))) => {
                    http::refuse_plain(io, &scratch, settings.linger_time).await;
                }
                Some(Err(error)) => tracing::debug!(%peer, %error, "handshake failed"),
                _ => tracing::debug!(%peer, "handshake took too long"),
            }
            return;
        }
    };
    drop(permit);
    // Boxed, so that the task of a connection that has become a socket is not as large as hyper.
    let upgraded = Box::pin(http::serve(stream, peer, &site, &shard)).await;
    let Some(upgraded) = upgraded else { return };
    let life = socket::open(upgraded, &shard, std::sync::Arc::clone(&site.settings), seat);
    if let Ok(task) = glommio::spawn_local_into(life, shard.sockets) {
        task.detach();
    }
}

/// Ends when a handshake has had its time: less of it while others wait for its place. What it waits for the shard does not count.
async fn patience(crowd: &Rc<Crowd>, waited: &Waited, whole: Duration, crowded: Duration) {
    let (begun, before) = (Instant::now(), waited.so_far());
    let tick = CROWD_TICK.min(crowded).min(whole);
    loop {
        glommio::timer::sleep(tick).await;
        let limit = if crowd.full() { crowded } else { whole };
        if begun.elapsed() >= limit + waited.so_far().saturating_sub(before) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;

    #[test]
    fn what_a_handshake_waits_for_the_shard_is_not_its_peers_time() {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 20).make().expect("an executor");
        let limit = Duration::from_millis(20);
        let lasted = |stood: Option<Duration>| {
            executor.run(async move {
                let crowd = Rc::new(Crowd { places: Rc::new(Semaphore::new(1)) });
                let waited = Waited::default();
                // Before the handshake began: that one does not count.
                waited.add(Duration::from_hours(1));
                let patience = std::pin::pin!(patience(&crowd, &waited, limit, limit));
                let meanwhile = std::pin::pin!(async {
                    if let Some(stood) = stood {
                        glommio::timer::sleep(limit / 4).await;
                        waited.add(stood);
                    }
                    glommio::timer::sleep(limit * 10).await;
                });
                matches!(select(patience, meanwhile).await, Either::Right(_))
            })
        };
        assert!(!lasted(None), "a peer that says nothing is given up");
        assert!(lasted(Some(Duration::from_hours(1))));
    }
}

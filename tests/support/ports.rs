//! Free ports. They are taken below the range that the kernel gives to outgoing connections, so that no client of another test
//! stands on one by chance.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// A port kept for one server as long as this lives: bound but not listening, so that it takes no connection, and with
/// SO_REUSEPORT, so that the server may bind it too and nobody else gets it.
pub struct Reserved {
    pub port: u16,
    _socket: Socket,
}

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on.
pub fn reserve() -> Reserved {
    let start = u16::try_from(std::process::id().wrapping_mul(7919) % 20_000).expect("below 20,000");
    for _ in 0..20_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + start.wrapping_add(step) % 20_000;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        // Without SO_REUSEPORT and SO_REUSEADDR: fails when anybody has it, also when it is kept as below by another process.
        let probe = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if probe.bind(&address.into()).is_err() {
            continue;
        }
        drop(probe);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("SO_REUSEPORT");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        if socket.bind(&address.into()).is_ok() {
            return Reserved { port, _socket: socket };
        }
    }
    panic!("no free port between 10,000 and 30,000");
}

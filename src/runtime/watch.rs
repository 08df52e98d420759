//! Where a shard sleeps: one epoll over its open sockets, its bell and the rings of its executor.
//!
//! The executor's own way of waiting costs some ten calls into the kernel each time (timers are armed and taken back in three rings),
//! and a message needs two waits: one for its frame, one for the disk. Here a wait is one call. Promises: what became ready before a
//! wait ends it; a [`Watched`] is woken for everything that comes after it saw nothing left; an event of the executor (a new
//! connection, a timer it armed, a socket that can be written to) ends the wait too and is told. Does not run the executor: the pump does.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::net::RecvFlags;

/// What stands with the bell's events.
const BELL: u64 = u64::MAX;
/// What stands with the events of the executor's rings.
const RING: u64 = u64::MAX - 1;
/// Events taken with one call; the others come with the next.
const EVENTS: usize = 256;

/// Rings are made one after the other in a process, so that it is known whose they are.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes something with io_urings in it (or without), and answers which descriptors they have.
pub(super) fn making_rings<T>(make: impl FnOnce() -> T) -> (T, Vec<RawFd>) {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = rings();
    let made = make();
    let mut after = rings();
    after.retain(|fd| !before.contains(fd));
    (made, after)
}

/// All io_urings of this process; none when /proc is not there.
fn rings() -> Vec<RawFd> {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let is_ring = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == "anon_inode:[io_uring]");
    let open = folder.filter_map(|entry| Some(entry.ok()?.path()).filter(|path| is_ring(path)));
    open.filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect()
}

/// How it stands with one watched socket.
#[derive(Debug)]
struct Entry {
    fd: RawFd,
    /// There may be something to read.
    ready: Cell<bool>,
    /// The peer will send nothing more, or the socket broke: ready until that was read.
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Option<Rc<Entry>>>,
    /// How often each place was taken: an event of who had it before is nothing to who has it now.
    ages: Vec<u32>,
    free: Vec<u32>,
}

impl Table {
    fn get(&self, data: u64) -> Option<&Rc<Entry>> {
        let (age, index) = (u32::try_from(data >> 32).ok()?, usize::try_from(data & u64::from(u32::MAX)).ok()?);
        if self.ages.get(index) != Some(&age) {
            return None;
        }
        self.entries.get(index)?.as_ref()
    }
}

#[derive(Debug)]
struct Inner {
    epoll: OwnedFd,
    table: RefCell<Table>,
}

/// The watch of one shard.
#[derive(Debug)]
pub(super) struct Watch(Rc<Inner>);

impl Watch {
    /// Watches a bell and these rings, which stay open as long as this.
    pub(super) fn new(bell: BorrowedFd<'_>, rings: &[RawFd]) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, bell, epoll::EventData::new_u64(BELL), flags)?;
        for &ring in rings {
            // SAFETY: the caller's word. Nothing but waiting is done with it.
            let ring = unsafe { BorrowedFd::borrow_raw(ring) };
            epoll::add(&epoll, ring, epoll::EventData::new_u64(RING), flags)?;
        }
        Ok(Self(Rc::new(Inner { epoll, table: RefCell::default() })))
    }

    /// Watches a socket, which stays open as long as what is answered. `None`: it is to be read from as before.
    pub(super) fn add(&self, fd: RawFd) -> Option<Watched> {
        let table = &mut *self.0.table.borrow_mut();
        let index = match table.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(table.entries.len()).ok()?;
                table.entries.push(None);
                table.ages.push(0);
                index
            }
        };
        let age = table.ages.get_mut(index as usize)?;
        // Never that of the bell and the rings.
        *age = (*age + 1) % (u32::MAX / 2);
        let data = (u64::from(*age) << 32) | u64::from(index);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        // SAFETY: the caller's word.
        let socket = unsafe { BorrowedFd::borrow_raw(fd) };
        if let Err(why) = epoll::add(&self.0.epoll, socket, epoll::EventData::new_u64(data), flags) {
            tracing::warn!(%why, "a socket cannot be watched; it is read from in a dearer way");
            table.free.push(index);
            return None;
        }
        let entry = Rc::new(Entry {
            fd,
            // What came before is there already.
            ready: Cell::new(true),
            ended: Cell::new(false),
            waker: RefCell::new(None),
        });
        *table.entries.get_mut(index as usize)? = Some(Rc::clone(&entry));
        Some(Watched { entry, index, watch: Rc::clone(&self.0) })
    }

    /// Waits until something is ready or the time is over (0: looks only), and wakes those whose sockets can be read from. Answers
    /// whether the executor has something to look at.
    pub(super) fn wait(&self, time: Duration) -> bool {
        // Whole milliseconds are all that this call knows; who is woken a little late is nobody's loss, too early would be a turn for nothing.
        let ms = time.as_micros().div_ceil(1000);
        let ms = i64::try_from(ms).unwrap_or(i64::MAX).min(60_000);
        let time = Timespec { tv_sec: ms / 1000, tv_nsec: (ms % 1000) * 1_000_000 };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        // An error: work of a ring came up for this thread, or a signal.
        let Ok((events, _)) = epoll::wait(&self.0.epoll, &mut events, Some(&time)) else { return true };
        let mut executor = false;
        for event in events {
            let (data, flags) = (event.data.u64(), event.flags);
            match data {
                BELL => {}
                RING => executor = true,
                data => {
                    let entry = self.0.table.borrow().get(data).map(Rc::clone);
                    let Some(entry) = entry else { continue };
                    entry.ready.set(true);
                    if flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                        entry.ended.set(true);
                    }
                    let waker = entry.waker.borrow_mut().take();
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            }
        }
        executor
    }
}

/// One socket in a shard's watch. To be dropped before the socket is closed.
#[derive(Debug)]
pub struct Watched {
    entry: Rc<Entry>,
    index: u32,
    watch: Rc<Inner>,
}

impl Watched {
    /// Reads what is there; wakes the task when there is something to read.
    pub fn poll_read(&self, cx: &Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        while self.entry.ready.get() {
            match rustix::net::recv(self.socket(), &mut *into, RecvFlags::DONTWAIT) {
                Ok((read, _)) => {
                    // Less than there was room for: it was all, and more will be told. Of an end that came with it, nothing will.
                    if read < into.len() && !self.entry.ended.get() {
                        self.entry.ready.set(false);
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => self.entry.ready.set(false),
                Err(why) => return Poll::Ready(Err(why.into())),
            }
        }
        let waker = &mut *self.entry.waker.borrow_mut();
        if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Watched {
    fn socket(&self) -> BorrowedFd<'_> {
        // SAFETY: who asked for the watch keeps the socket open for as long.
        unsafe { BorrowedFd::borrow_raw(self.entry.fd) }
    }

    /// When the socket is closed, what its peer has not taken is thrown away and the peer gets a reset.
    pub fn break_off(&self) {
        // A socket that refuses this is broken already.
        let _ = rustix::net::sockopt::set_socket_linger(self.socket(), Some(Duration::ZERO));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = epoll::delete(&self.watch.epoll, self.socket());
        let table = &mut *self.watch.table.borrow_mut();
        if let Some(place) = table.entries.get_mut(self.index as usize) {
            *place = None;
            table.free.push(self.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::{AsFd as _, AsRawFd as _};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn what_comes_is_told_once_it_was_read_and_so_is_an_end_that_came_with_it() {
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let watch = Watch::new(bell.as_fd(), &[]).unwrap();
        let (server, mut client) = pair();
        let watched = watch.add(server.as_raw_fd()).unwrap();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let mut buffer = [0; 16];
        assert!(watched.poll_read(&cx, &mut buffer).is_pending());
        for round in 1..=3 {
            client.write_all(b"hello").unwrap();
            while count.0.load(Ordering::SeqCst) < round {
                assert!(!watch.wait(LONG));
            }
            assert!(matches!(watched.poll_read(&cx, &mut buffer), Poll::Ready(Ok(5))));
            assert!(watched.poll_read(&cx, &mut buffer).is_pending());
        }
        // More than the buffer takes: it goes on without another word.
        client.write_all(&[b'x'; 40]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        while count.0.load(Ordering::SeqCst) < 4 || !watched.entry.ended.get() {
            watch.wait(LONG);
        }
        let mut read = 0;
        loop {
            match watched.poll_read(&cx, &mut buffer) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(n)) => read += n,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(read, 40);
    }

    #[test]
    fn the_bell_ends_a_wait_from_another_thread_and_rings_of_an_executor_are_told() {
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let (ring, rings) = making_rings(|| io_uring::IoUring::new(8).unwrap());
        assert!(rings.contains(&ring.as_raw_fd()));
        let watch = Watch::new(bell.as_fd(), &rings).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| rustix::io::write(&bell, &1u64.to_ne_bytes()).unwrap());
            assert!(!watch.wait(LONG));
        });
        let mut ring = ring;
        // SAFETY: does nothing.
        unsafe { ring.submission().push(&io_uring::opcode::Nop::new().build()) }.unwrap();
        ring.submit().unwrap();
        assert!(watch.wait(LONG));
    }

    #[test]
    fn who_is_broken_off_is_reset_and_not_offered_the_rest() {
        use std::io::Read as _;
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let watch = Watch::new(bell.as_fd(), &[]).unwrap();
        for broken_off in [true, false] {
            let (server, mut client) = pair();
            server.set_nonblocking(true).unwrap();
            // Until the kernel takes no more: the peer does not read.
            while (&server).write(&[b'x'; 8 * 1024]).is_ok() {}
            let watched = watch.add(server.as_raw_fd()).unwrap();
            if broken_off {
                watched.break_off();
            }
            drop(watched);
            drop(server);
            let end = client.read_to_end(&mut Vec::new());
            assert_eq!(end.is_err_and(|why| why.kind() == std::io::ErrorKind::ConnectionReset), broken_off);
        }
    }

    #[test]
    fn who_is_gone_is_not_watched_and_its_place_is_taken_by_another() {
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let watch = Watch::new(bell.as_fd(), &[]).unwrap();
        let (server, mut client) = pair();
        drop(watch.add(server.as_raw_fd()).unwrap());
        client.write_all(b"x").unwrap();
        let (other, _client) = pair();
        let watched = watch.add(other.as_raw_fd()).unwrap();
        assert_eq!(watched.index, 0);
        assert!(watched.poll_read(&Context::from_waker(Waker::noop()), &mut [0; 4]).is_pending());
        watch.wait(Duration::ZERO);
        assert!(!watched.entry.ready.get());
    }
}

//! Several processes find each other, make sure that they do the same, and notice when one is lost.
//!
//! Each process listens at its own address and calls those before it in the list. A connection
//! begins with a [`Hello`] in both directions: who this is, what it was asked to do, and why it
//! cannot take part, if so. A process that has met all the others goes on, and the connections
//! become those of the dataflow. Nothing is written to standard output.

use std::any::Any;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use limbeck_operators::hash::fixed_hash;
use rustix::net::sockopt;
use serde::{Deserialize, Serialize};
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};

use super::links::Links;
use super::{Failure, Log, Options};
use crate::model::duration::format_duration;
use crate::rules::Rules;
use crate::sinks::exit_without_outputs;
use crate::sources::Interrupt;

/// Several processes that replay together; all are started with the same arguments but which of
/// them they are.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `HOST:PORT` of each process.
    pub hosts: Vec<String>,
    /// Which of them this is, from 0; process 0 writes the outputs.
    pub process: usize,
    /// How long the others are waited for.
    pub wait: Duration,
}

/// What processes are asked to do, by argument, each as a hash.
type Asked = Vec<(String, u64)>;

/// What a process says first.
#[derive(Serialize, Deserialize)]
struct Hello {
    process: usize,
    /// Whether the connection is one of those [beside the dataflow](super::links).
    beside: bool,
    asked: Asked,
    /// Why it cannot take part.
    refusal: Option<String>,
}

/// Tells connections of Limbeck from others, and this form of a hello from later ones.
const MARK: &[u8; 8] = b"limbeck1";
const HELLO_BYTES_MAX: u32 = 64 << 10;

/// Between two calls of a process that does not answer.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may take to be made, and then a hello.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to each other process, by its number.
pub(super) type Sockets = Vec<Option<TcpStream>>;

impl Cluster {
    /// Tells the others why this process cannot take part, as far as they come in time.
    pub fn decline(&self, reason: &str, interrupt: &Interrupt) {
        let (process, asked, refusal) = (self.process, Asked::new(), Some(reason.to_owned()));
        let hello = Hello { process, beside: false, asked, refusal };
        if let Ok(mut meeting) = Meeting::new(self, hello, interrupt) {
            // Those that do not come have their own limit.
            let _ = meeting.gather();
        }
    }

    /// Meets the others.
    ///
    /// # Errors
    /// [`Failure::Processes`], if one does not come, or cannot take part.
    pub(super) fn meet(&self, rules: &Rules, options: &Options) -> Result<Met, Failure> {
        let asked = asked(self, rules, options);
        let hello = Hello { process: self.process, beside: false, asked, refusal: None };
        let met = Meeting::new(self, hello, &options.interrupt).and_then(|mut meeting| {
            meeting.has_links = options.checkpoint.is_some();
            meeting.gather()?;
            for socket in meeting.met.iter().chain(&meeting.beside).flatten() {
                keep_alive(socket).map_err(|error| error.to_string())?;
            }
            let links = meeting.beside.into_iter().enumerate();
            let links = links.filter_map(|(process, socket)| Some((process, socket?))).collect();
            Ok(Met { sockets: meeting.met, links: Links::new(self, links) })
        });
        met.map_err(Failure::Processes)
    }

    pub(super) fn name(&self, process: usize) -> String {
        format!("process {process} ({})", self.hosts[process])
    }
}

/// Connections to all others.
pub(super) struct Met {
    pub(super) sockets: Sockets,
    /// Those beside the dataflow, where there are checkpoints.
    pub(super) links: Links,
}

/// What the processes of a cluster must have been asked alike.
fn asked(cluster: &Cluster, rules: &Rules, options: &Options) -> Asked {
    let segments = |log: &Log| {
        let listed = log.stored.iter().flat_map(|stored| &stored.partition.segments);
        listed.map(|segment| segment.xxh3.clone()).collect::<Vec<_>>()
    };
    let logs = options.logs.iter().map(|log| (&log.path, log.source, segments(log)));
    let logs: Vec<_> = logs.collect();
    let asked = [
        ("version of limbeck", fixed_hash(env!("CARGO_PKG_VERSION"))),
        ("--hosts", fixed_hash(&cluster.hosts)),
        ("--workers", fixed_hash(&options.workers)),
        ("--rules", fixed_hash(&format!("{rules:?}"))),
        ("--log", fixed_hash(&logs)),
        ("--tick", fixed_hash(&options.tick_ns)),
        ("--from", fixed_hash(&options.from_ns)),
        ("--until", fixed_hash(&options.until_ns)),
        ("--checkpoint", fixed_hash(&options.checkpoint.is_some())),
        ("--fates", fixed_hash(&options.fates)),
    ];
    asked.map(|(name, hash)| (name.to_owned(), hash)).into()
}

/// Processes on their way to each other.
struct Meeting<'c> {
    cluster: &'c Cluster,
    interrupt: &'c Interrupt,
    hello: Hello,
    listener: TcpListener,
    met: Sockets,
    /// Whether there are connections beside the dataflow, from all to the first.
    has_links: bool,
    beside: Sockets,
    /// What happened when a process was called last.
    silence: Vec<String>,
    deadline: Instant,
}

impl<'c> Meeting<'c> {
    fn new(cluster: &'c Cluster, hello: Hello, interrupt: &'c Interrupt) -> Result<Self, String> {
        let host = &cluster.hosts[cluster.process];
        let listener = TcpListener::bind(host)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| format!("nobody can be listened to at {host}: {error}"))?;
        let count = cluster.hosts.len();
        let [met, beside] = [(); 2].map(|()| (0..count).map(|_| None).collect());
        let silence = vec!["it has not called".to_owned(); count];
        let deadline = now() + cluster.wait;
        let has_links = false;
        Ok(Self { cluster, interrupt, hello, listener, met, has_links, beside, silence, deadline })
    }

    /// Goes on until all are met.
    fn gather(&mut self) -> Result<(), String> {
        loop {
            for process in 0..self.cluster.process {
                if !self.has_met(process) {
                    self.call(process)?;
                }
            }
            self.hello.beside = false;
            while let Ok((socket, _)) = self.listener.accept() {
                // Whatever else calls here is none of them.
                if let Ok((socket, hello)) = self.greet(socket)
                    && hello.process > self.cluster.process
                    && hello.process < self.met.len()
                {
                    self.take(socket, &hello)?;
                }
            }
            let missing =
                |process: &usize| *process != self.cluster.process && !self.has_met(*process);
            let missing: Vec<usize> = (0..self.met.len()).filter(missing).collect();
            let Some(first) = missing.first() else { return Ok(()) };
            if now() > self.deadline {
                let wait = format_duration(self.cluster.wait.as_nanos() as i64);
                let (name, silence) = (self.cluster.name(*first), &self.silence[*first]);
                return Err(format!("{name} did not come within {wait} (--wait): {silence}"));
            }
            match self.interrupt.wait_for(&self.listener, Some(PAUSE)) {
                Ok(true) => {}
                Ok(false) => return Err("interrupted while the others were waited for".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Whether all connections with a process are there.
    fn has_met(&self, process: usize) -> bool {
        let has_link = self.has_links && (process == 0 || self.cluster.process == 0);
        self.met[process].is_some() && (!has_link || self.beside[process].is_some())
    }

    fn call(&mut self, process: usize) -> Result<(), String> {
        self.hello.beside = self.met[process].is_some();
        match connect(&self.cluster.hosts[process]).and_then(|socket| self.greet(socket)) {
            Ok((socket, hello)) if hello.process == process => self.take(socket, &hello),
            Ok((_, hello)) => {
                let (name, other) = (self.cluster.name(process), hello.process);
                Err(format!("{name} says that it is process {other}; compare the lists of hosts"))
            }
            Err(error) => {
                self.silence[process] = match error.kind() {
                    ErrorKind::WouldBlock => "it does not answer".to_owned(),
                    _ => error.to_string(),
                };
                Ok(())
            }
        }
    }

    /// Says hello, and hears the other's.
    fn greet(&self, mut socket: TcpStream) -> io::Result<(TcpStream, Hello)> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER))?;
        let hello = postcard::to_stdvec(&self.hello).map_err(io::Error::other)?;
        let mut frame = MARK.to_vec();
        frame.extend((hello.len() as u32).to_be_bytes());
        frame.extend(hello);
        socket.write_all(&frame)?;
        let mut head = [0; MARK.len() + 4];
        socket.read_exact(&mut head)?;
        let (mark, len) = head.split_at(MARK.len());
        let len = u32::from_be_bytes(len.try_into().expect("four bytes"));
        if mark != MARK || len > HELLO_BYTES_MAX {
            return Err(io::Error::other("no process of this version answers there"));
        }
        let mut hello = vec![0; len as usize];
        socket.read_exact(&mut hello)?;
        let hello = postcard::from_bytes(&hello).map_err(io::Error::other)?;
        socket.set_read_timeout(None)?;
        Ok((socket, hello))
    }

    /// Notes that a process has come, unless there is a reason not to go on.
    fn take(&mut self, socket: TcpStream, other: &Hello) -> Result<(), String> {
        let beside = other.beside || self.hello.beside;
        let sockets = if beside { &mut self.beside } else { &mut self.met };
        sockets[other.process] = Some(socket);
        if self.hello.refusal.is_some() {
            return Ok(());
        }
        let name = self.cluster.name(other.process);
        if let Some(reason) = &other.refusal {
            return Err(format!("{name} cannot take part: {reason}"));
        }
        let mine = self.hello.asked.iter();
        match mine.zip(&other.asked).find(|(mine, other)| mine != other) {
            Some(((what, _), _)) => {
                Err(format!("{name} was started with another {what}; all must have the same"))
            }
            None => Ok(()),
        }
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "how long others are waited for, no result")]
    Instant::now()
}

fn connect(host: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Has the system find out, within about a minute, when the other's host is gone.
fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(socket, 3)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(socket, 60_000)?;
    Ok(())
}

/// What timely makes workers of: their part of the connections, and what these need.
pub(super) type Builders = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

/// Connects the workers of all processes.
pub(super) fn together(
    cluster: &Cluster,
    options: &Options,
    sockets: Sockets,
) -> Result<Builders, Failure> {
    stop_when_one_is_lost(cluster.clone());
    let hooks = Hooks::default();
    let (refill, spill) = (hooks.refill.clone(), hooks.spill.clone());
    let local = ProcessBuilder::new_typed_vector(options.workers, refill, spill);
    let (process, workers) = (cluster.process, options.workers);
    let (workers, guard) =
        initialize_networking_from_sockets(local, sockets, process, workers, hooks)
            .map_err(|error| Failure::Processes(error.to_string()))?;
    Ok((workers.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
}

/// Timely's threads for a connection panic when it breaks, and nobody would notice but them: the
/// workers wait for what does not come. How their message begins is promised to users.
fn stop_when_one_is_lost(cluster: Cluster) {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or_default();
        let Some(detail) = message.strip_prefix("timely communication error: ") else {
            return usual(info);
        };
        let ending = Ending::begin();
        let thread = thread::current();
        let process = thread.name().and_then(|name| name.rsplit_once('-')?.1.parse().ok());
        let name = process.map_or_else(|| "a process".to_owned(), |p| cluster.name(p));
        let lost = Failure::Processes(format!("{name} was lost: {detail}; nothing was output"));
        ending.end(lost.exit_code(), &lost);
    }));
}

/// The end of this process, which others notice in turn.
pub(super) struct Ending(());

impl Ending {
    /// Of several threads that see a reason the first speaks; the others wait for the end.
    pub(super) fn begin() -> Self {
        static BEGUN: AtomicBool = AtomicBool::new(false);
        while BEGUN.swap(true, Ordering::SeqCst) {
            thread::park();
        }
        Self(())
    }

    /// Says why, and leaves no outputs.
    pub(super) fn end(self, code: u8, why: &dyn Display) -> ! {
        let _ = writeln!(io::stderr(), "limbeck: {why}");
        exit_without_outputs(i32::from(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_gone_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let socket = TcpStream::connect(address).expect("somebody listens");
        keep_alive(&socket).expect("the system can do it");
        assert_eq!(sockopt::socket_keepalive(&socket), Ok(true));
        assert_eq!(sockopt::tcp_keepidle(&socket), Ok(Duration::from_secs(30)));
        assert_eq!(sockopt::tcp_keepintvl(&socket), Ok(Duration::from_secs(10)));
        assert_eq!(sockopt::tcp_keepcnt(&socket), Ok(3));
    }
}

//! Several processes find each other, make sure that they do the same, and notice when one is lost.
//!
//! Each process listens at its own address and calls those before it in the list. A connection
//! begins with a [`Hello`] in both directions: who this is, what it was asked to do, and why it
//! cannot take part, if so. A process that has met all the others goes on, and the connections
//! become those of the dataflow. Nothing is written to standard output.

use std::any::Any;
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
type Sockets = Vec<Option<TcpStream>>;

impl Cluster {
    /// Tells the others why this process cannot take part, as far as they come in time.
    pub fn decline(&self, reason: &str, interrupt: &Interrupt) {
        let hello =
            Hello { process: self.process, asked: Asked::new(), refusal: Some(reason.to_owned()) };
        if let Ok(mut meeting) = Meeting::new(self, hello, interrupt) {
            // Those that do not come have their own limit.
            let _ = meeting.gather();
        }
    }

    /// Meets the others.
    fn meet(&self, rules: &Rules, options: &Options) -> Result<Sockets, String> {
        let asked = asked(self, rules, options);
        let hello = Hello { process: self.process, asked, refusal: None };
        let mut meeting = Meeting::new(self, hello, &options.interrupt)?;
        meeting.gather()?;
        for socket in meeting.met.iter().flatten() {
            keep_alive(socket).map_err(|error| error.to_string())?;
        }
        Ok(meeting.met)
    }

    fn name(&self, process: usize) -> String {
        format!("process {process} ({})", self.hosts[process])
    }
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
        ("--until", fixed_hash(&options.until_ns)),
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
        let met = (0..count).map(|_| None).collect();
        let silence = vec!["it has not called".to_owned(); count];
        let deadline = now() + cluster.wait;
        Ok(Self { cluster, interrupt, hello, listener, met, silence, deadline })
    }

    /// Goes on until all are met.
    fn gather(&mut self) -> Result<(), String> {
        loop {
            for process in 0..self.cluster.process {
                if self.met[process].is_none() {
                    self.call(process)?;
                }
            }
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
                |process: &usize| *process != self.cluster.process && self.met[*process].is_none();
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

    fn call(&mut self, process: usize) -> Result<(), String> {
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
        self.met[other.process] = Some(socket);
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

/// Meets the other processes and connects the workers of all.
pub(super) fn together(
    cluster: &Cluster,
    rules: &Rules,
    options: &Options,
) -> Result<Builders, Failure> {
    let sockets = cluster.meet(rules, options).map_err(Failure::Processes)?;
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
    static STOPS: AtomicBool = AtomicBool::new(false);
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or_default();
        let Some(detail) = message.strip_prefix("timely communication error: ") else {
            return usual(info);
        };
        // Of several threads that see it the first speaks.
        while STOPS.swap(true, Ordering::SeqCst) {
            thread::park();
        }
        let thread = thread::current();
        let process = thread.name().and_then(|name| name.rsplit_once('-')?.1.parse().ok());
        let name = process.map_or_else(|| "a process".to_owned(), |p| cluster.name(p));
        let lost = Failure::Processes(format!("{name} was lost: {detail}; nothing was output"));
        let _ = writeln!(io::stderr(), "limbeck: {lost}");
        exit_without_outputs(i32::from(lost.exit_code()));
    }));
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

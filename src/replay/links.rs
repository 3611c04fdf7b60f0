//! What processes say to each other beside the dataflow: from where they go on, on which cuts they
//! agree, and why they end.
//!
//! Every process but the first has a connection to that one. A message is a frame: how long it is,
//! a hash of it, the message, and behind it the bytes that belong to it. State: what has not been
//! sent yet.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use limbeck_operators::hash::{fixed_hash, xxh3_64};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::processes::{Cluster, Ending};
use crate::checkpoint::{Keeper, Said, Told};
use crate::sources::Interrupt;

/// What stands before a message.
#[derive(Serialize, Deserialize)]
struct Head {
    /// How long the message is, and each part behind it.
    lens: Vec<u64>,
    /// Of them all, one after the other.
    hash: u64,
}

/// A message is made of what a process remembers, and it has that in memory.
const PART_BYTES_MAX: u64 = 1 << 40;
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// How long one that ends waits for the others to have heard why.
const HEARD: Duration = Duration::from_secs(5);
/// What is said of a signal.
pub(super) const INTERRUPTED: &str =
    "interrupted; started again, all processes go on from the last checkpoint";

/// Sends a message, and the bytes that belong to it.
pub(super) fn send(
    mut socket: &TcpStream,
    message: &impl Serialize,
    parts: &[Vec<u8>],
) -> io::Result<()> {
    let message = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let all = || std::iter::once(&message).chain(parts);
    let hash = hash_of(all());
    let head = Head { lens: all().map(|part| part.len() as u64).collect(), hash };
    let head = postcard::to_stdvec(&head).map_err(io::Error::other)?;
    socket.write_all(&(head.len() as u32).to_le_bytes())?;
    socket.write_all(&head)?;
    all().try_for_each(|part| socket.write_all(part))
}

fn hash_of<'p>(parts: impl Iterator<Item = &'p Vec<u8>>) -> u64 {
    parts.fold(0, |hash, part| fixed_hash(&(hash, xxh3_64(part))))
}

/// Receives the next message; `None` if the other has closed the connection.
pub(super) fn receive<M: DeserializeOwned>(
    mut socket: &TcpStream,
) -> io::Result<Option<(M, Vec<Vec<u8>>)>> {
    let mut len = [0; size_of::<u32>()];
    match socket.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let garbled = || io::Error::other("what came is not what was sent");
    let len = u32::from_le_bytes(len);
    if len > HEAD_BYTES_MAX {
        return Err(garbled());
    }
    let mut head = vec![0; len as usize];
    socket.read_exact(&mut head)?;
    let Head { lens, hash } = postcard::from_bytes(&head).map_err(io::Error::other)?;
    let mut parts = Vec::new();
    for len in lens {
        let mut part = Vec::new();
        // As much is allotted as comes.
        if len > PART_BYTES_MAX || socket.take(len).read_to_end(&mut part)? as u64 != len {
            return Err(garbled());
        }
        parts.push(part);
    }
    let found = hash_of(parts.iter());
    if found != hash || parts.is_empty() {
        return Err(garbled());
    }
    let message = postcard::from_bytes(&parts.remove(0)).map_err(io::Error::other)?;
    Ok(Some((message, parts)))
}

/// The connections of a process beside the dataflow.
pub(super) struct Links {
    cluster: Cluster,
    /// By process: on all but the first, to that one.
    sockets: Vec<(usize, TcpStream)>,
}

impl Links {
    pub(super) fn new(cluster: &Cluster, sockets: Vec<(usize, TcpStream)>) -> Self {
        Self { cluster: cluster.clone(), sockets }
    }

    /// Tells the others from where all go on, does so itself, and has all begin when each is ready.
    ///
    /// # Errors
    /// Why this process cannot, or another.
    pub(super) fn lead(
        &self,
        checkpoint: Option<Vec<u8>>,
        go_on: impl FnOnce() -> Result<(), Failure>,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let parts: Vec<_> = checkpoint.into_iter().collect();
        self.tell_all(&Told::GoOn, &parts)?;
        let stop = |process: usize, reason: &str| {
            let reason = format!("{} cannot take part: {reason}", self.cluster.name(process));
            // One that is gone need not hear it.
            let _ = self.tell_all(&Told::Stop(reason.clone()), &[]);
            Failure::Processes(reason)
        };
        go_on().inspect_err(|failure| drop(stop(0, &failure.to_string())))?;
        for (process, _) in &self.sockets {
            match self.wait(*process, interrupt)? {
                (Said::Ready(Ok(())), _) => {}
                (Said::Ready(Err(reason)) | Said::Leave(reason), _) => {
                    return Err(stop(*process, &reason));
                }
                _ => return Err(stop(*process, "it says something else than that it is ready")),
            }
        }
        self.tell_all(&Told::Start, &[])
    }

    fn tell_all(&self, told: &Told, parts: &[Vec<u8>]) -> Result<(), Failure> {
        let tell = |(process, socket): &(usize, TcpStream)| {
            send(socket, told, parts).map_err(|error| self.lost(*process, &error))
        };
        self.sockets.iter().map(tell).fold(Ok(()), Result::and)
    }

    /// Goes on from where the first process says, and begins when all are ready.
    ///
    /// # Errors
    /// Why this process cannot, or another.
    pub(super) fn follow(
        &self,
        go_on: impl FnOnce(Option<Vec<u8>>) -> Result<(), Failure>,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let (_, parts) = self.told(interrupt)?;
        let done = go_on(parts.into_iter().next());
        let ready = match &done {
            Ok(()) => Ok(()),
            Err(failure) => Err(failure.to_string()),
        };
        let socket = &self.sockets[0].1;
        let said = send(socket, &Said::Ready(ready), &[]);
        done?;
        // One that does not hear it any more has said why it ends.
        self.told(interrupt)?;
        said.map_err(|error| self.lost(0, &error))
    }

    fn told(&self, interrupt: &Interrupt) -> Result<(Told, Vec<Vec<u8>>), Failure> {
        match self.wait(0, interrupt)? {
            (Told::Stop(reason), _) => Err(Failure::Processes(reason)),
            told => Ok(told),
        }
    }

    /// Waits for what a process says next.
    fn wait<M: DeserializeOwned>(
        &self,
        process: usize,
        interrupt: &Interrupt,
    ) -> Result<(M, Vec<Vec<u8>>), Failure> {
        let socket = self.sockets.iter().find(|(other, _)| *other == process);
        let (_, socket) = socket.expect("there is a connection");
        match interrupt.wait_for(socket, None) {
            Ok(true) => {}
            Ok(false) => {
                let what = "interrupted while the others were waited for".to_owned();
                return Err(Failure::Processes(what));
            }
            Err(error) => return Err(self.lost(process, &error)),
        }
        match receive(socket) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.lost(process, &"it has ended")),
            Err(error) => Err(self.lost(process, &error)),
        }
    }

    fn lost(&self, process: usize, detail: &impl Display) -> Failure {
        Failure::Processes(lost(&self.cluster, process, detail))
    }

    /// Carries from now on what is said, on threads.
    pub(super) fn carry(self, keeper: &mut Keeper, interrupt: &Interrupt) -> Carrying {
        let Self { cluster, sockets } = self;
        let heard = unbounded();
        let over = AtomicBool::new(false);
        let line = |(process, socket)| Line { process, socket, writing: Mutex::new(()) };
        let lines = sockets.into_iter().map(line).collect();
        let carrying = Carrying(Arc::new(Carried { cluster, lines, over, heard }));
        let (carried, interrupt) = (Arc::clone(&carrying.0), interrupt.clone());
        spawn(move || carried.leave_when(&interrupt));
        if let Some(failed) = keeper.take_failed() {
            let carried = Arc::clone(&carrying.0);
            spawn(move || {
                // Nobody may read for long on the process that leads.
                if let Ok((code, why)) = failed.recv() {
                    carried.leave(code, &why);
                }
            });
        }
        for (number, line) in carrying.0.lines.iter().enumerate() {
            let carried = [Arc::clone(&carrying.0), Arc::clone(&carrying.0)];
            let [mouth, ear] = carried.map(|carried| move || carried);
            let process = line.process;
            if let Some(said) = keeper.take_said() {
                spawn(move || mouth().lines[number].send_all(said));
                let obeys = keeper.obeys();
                spawn(move || ear().listen(number, move |(told, _)| obeys(told)));
            } else if let Some(told) = keeper.take_told(process) {
                spawn(move || {
                    mouth().lines[number].send_all(told.into_iter().map(|told| (told, Vec::new())));
                });
                let hears = keeper.hears();
                spawn(move || ear().listen(number, move |said| hears(process, said)));
            }
        }
        carrying
    }
}

fn lost(cluster: &Cluster, process: usize, detail: &impl Display) -> String {
    format!("{} was lost: {detail}; nothing was output", cluster.name(process))
}

fn spawn(run: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name("link".to_owned()).spawn(run);
    thread.expect("a thread can be started");
}

/// A connection.
struct Line {
    process: usize,
    socket: TcpStream,
    /// Whoever holds it sends.
    writing: Mutex<()>,
}

impl Line {
    fn send(&self, message: &impl Serialize, parts: &[Vec<u8>]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        send(&self.socket, message, parts)
    }

    fn send_all<M: Serialize>(&self, messages: impl IntoIterator<Item = (M, Vec<Vec<u8>>)>) {
        for (message, parts) in messages {
            // Who listens here notices, too.
            if self.send(&message, &parts).is_err() {
                return;
            }
        }
    }
}

/// Why what comes is no part of a checkpoint.
pub(super) trait Other {
    /// That nobody can go on, and why.
    fn reason(self) -> Option<String>;
}

impl Other for Said {
    fn reason(self) -> Option<String> {
        match self {
            Self::Leave(reason) => Some(reason),
            _ => None,
        }
    }
}

impl Other for Told {
    fn reason(self) -> Option<String> {
        match self {
            Self::Stop(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Connections that carry what is said.
pub(super) struct Carrying(Arc<Carried>);

struct Carried {
    cluster: Cluster,
    lines: Vec<Line>,
    /// Whether it is known that others end.
    over: AtomicBool,
    /// Says when one has, or that all is done.
    heard: (Sender<()>, Receiver<()>),
}

impl Carried {
    /// Takes what comes from another process, until that ends; then this one does.
    fn listen<M: DeserializeOwned, O: Other>(
        &self,
        number: usize,
        take: impl Fn((M, Vec<Vec<u8>>)) -> Option<O>,
    ) {
        let Line { process, socket, .. } = &self.lines[number];
        loop {
            let reason = match receive(socket) {
                Ok(Some(message)) => match take(message).map(Other::reason) {
                    None => continue,
                    // All is done.
                    Some(None) => {
                        self.over.store(true, Ordering::SeqCst);
                        let _ = self.heard.0.send(());
                        continue;
                    }
                    Some(Some(reason)) => reason,
                },
                Ok(None) => lost(&self.cluster, *process, &"it has ended"),
                Err(error) => lost(&self.cluster, *process, &error),
            };
            if !self.over.load(Ordering::SeqCst) {
                let ending = Ending::begin();
                self.stop(&reason);
                let failure = Failure::Processes(reason);
                ending.end(failure.exit_code(), &failure);
            }
            let _ = self.heard.0.send(());
            return;
        }
    }

    /// Ends this process, and the others with it, when it is interrupted: its logs may have ended,
    /// and the others need what it remembers all the same.
    fn leave_when(&self, interrupt: &Interrupt) {
        let signal = loop {
            match interrupt.signal() {
                Some(signal) => break signal,
                None if interrupt.wait(Duration::MAX).is_err() => return,
                None => {}
            }
        };
        if !self.over.load(Ordering::SeqCst) {
            self.leave(128_u8.wrapping_add(signal as u8), &INTERRUPTED);
        }
    }

    /// Ends this process, and tells the others why it does.
    fn leave(&self, code: u8, why: &dyn Display) -> ! {
        let ending = Ending::begin();
        self.tell(why);
        ending.end(code, why)
    }

    /// Tells the others why this process is about to end, and waits, not for long, until they have
    /// heard.
    fn tell(&self, why: &dyn Display) {
        self.over.store(true, Ordering::SeqCst);
        self.stop(&format!("{} ends: {why}", self.cluster.name(self.cluster.process)));
        self.hear();
    }

    fn hear(&self) {
        for _ in &self.lines {
            let _ = self.heard.1.recv_timeout(HEARD);
        }
    }

    /// Tells the others why this process ends, and they with it.
    fn stop(&self, reason: &str) {
        for line in &self.lines {
            // One that is gone need not hear it.
            let _ = match self.cluster.process {
                0 => line.send(&Told::Stop(reason.to_owned()), &[]),
                _ => line.send(&Said::Leave(reason.to_owned()), &[]),
            };
        }
    }
}

impl Carrying {
    /// Ends this process, and tells the others why it does.
    pub(super) fn leave(&self, code: u8, why: &dyn Display) -> ! {
        self.0.leave(code, why)
    }

    /// Tells the others why this process is about to end.
    pub(super) fn tell(&self, why: &dyn Display) {
        self.0.tell(why);
    }

    /// All is done: the outputs are in place.
    pub(super) fn done(&self) {
        let Carried { cluster, lines, over, heard } = &*self.0;
        if cluster.process == 0 {
            over.store(true, Ordering::SeqCst);
            for line in lines {
                let _ = line.send(&Told::Done, &[]);
            }
            self.0.hear();
        } else {
            // If the first process is lost, this one ends.
            let _ = heard.1.recv();
        }
    }
}

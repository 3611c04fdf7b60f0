//! A small HTTP server that answers as a test wants: with any status, not at all, or by closing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
    /// Whether it was answered with success.
    pub(super) accepted: bool,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is done about a request.
pub(super) enum Answer {
    Status(u16, &'static str),
    /// The connection stays open, and nothing comes.
    Hang,
    Close,
}

pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers by the number of the request, from 0.
    pub(super) fn start(
        answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (known, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, answer) = (Arc::clone(&known), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &known, &*answer));
            }
        });
        Self { url: format!("http://{address}"), requests }
    }

    /// All that came so far for a path, which is forgotten.
    pub(super) fn take(&self, path: &str) -> Vec<Request> {
        let mut requests = self.requests.lock().expect("nobody panics");
        requests.extract_if(.., |request| request.path == path).collect()
    }

    /// All that came so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panics").clone()
    }
}

fn serve(
    stream: TcpStream,
    known: &Mutex<Vec<Request>>,
    answer: &dyn Fn(usize, &Request) -> Answer,
) {
    let mut writer = stream.try_clone().expect("a socket can be shared");
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read(&mut reader) {
        let answered = {
            let mut known = known.lock().expect("nobody panics");
            let answered = answer(known.len(), &request);
            request.accepted = matches!(answered, Answer::Status(200..300, _));
            known.push(request);
            answered
        };
        let written = match answered {
            Answer::Status(status, headers) => {
                write!(writer, "HTTP/1.1 {status} x\r\ncontent-length: 2\r\n{headers}\r\nok")
            }
            // Until the other side gives up.
            Answer::Hang => reader.read(&mut [0]).map(drop),
            Answer::Close => return,
        };
        if written.is_err() {
            return;
        }
    }
}

/// None if the connection is closed.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().expect("a length"))];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).expect("what comes is JSON");
    Some(Request { path, headers, body, accepted: false })
}

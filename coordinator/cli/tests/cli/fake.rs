//! Fake servers that are not a working Redis: each has its own port and replies, until the test ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// `host:port` of a listener that hands each connection to `serve`.
fn listener(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A port without listener.
pub fn unused_port() -> String {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .to_string()
}

/// Replies like a web server.
pub fn http() -> String {
    listener(|stream| answer(stream, |_| b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec()))
}

/// Replies with `text`.
pub fn says(text: &str) -> String {
    let text = text.to_owned();
    listener(move |stream| answer(stream, |_| text.clone().into_bytes()))
}

/// Replies with random bytes.
pub fn garbage() -> String {
    listener(|stream| answer(stream, |_| (0..=255).cycle().skip(7).take(999).collect()))
}

/// Accepts connections and never replies.
pub fn silent() -> String {
    listener(|stream| answer(stream, |_| Vec::new()))
}

/// Closes the connection on the first data.
pub fn hangs_up() -> String {
    listener(drop)
}

/// A Redis server that never finishes loading its data.
pub fn loading() -> String {
    listener(|stream| {
        answer(stream, |request| {
            let commands = request.iter().filter(|byte| **byte == b'*').count();
            b"-LOADING Redis is loading the dataset in memory\r\n".repeat(commands)
        });
    })
}

fn answer(mut stream: TcpStream, reply: impl Fn(&[u8]) -> Vec<u8>) {
    let mut request = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut request) {
        if stream.write_all(&reply(&request[..count])).is_err() {
            return;
        }
    }
}

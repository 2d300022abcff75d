//! A host and maybe a port, as they stand in URLs and in maps of addresses.

/// `host`, `host:port`, `[::1]` or `[::1]:port`, the brackets taken off; `None` for anything else, such as a port that
/// is no number, or is 0.
pub(super) fn split(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    let sound = !host.is_empty() && !host.contains([' ', ',']);
    sound.then(|| (host.to_owned(), port))
}

/// The same as text; a host that holds colons in brackets.
pub(super) fn join(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

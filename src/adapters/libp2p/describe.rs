//! Errors of libp2p as one short line for people.

use std::{error::Error, fmt::Write};

use libp2p::{TransportError, swarm::DialError};

/// Longest text of a reason. Unit: bytes. What does not fit is repetition by nested transports.
const TEXT_BYTES_MAX: usize = 300;

/// Why a dial made no connection.
pub(super) fn dial_error_text(error: &DialError) -> String {
    match error {
        DialError::LocalPeerId { .. } => "this is our own address".to_owned(),
        DialError::NoAddresses => "we listen on this address ourselves".to_owned(),
        DialError::DialPeerConditionFalse(_) => "already connected or being dialled".to_owned(),
        DialError::Aborted => "the dial was given up".to_owned(),
        DialError::WrongPeerId { obtained, .. } => format!("another peer answered: {obtained}"),
        DialError::Denied { cause } => chain_text(cause),
        DialError::Transport(failures) => {
            let texts: Vec<String> =
                failures.iter().map(|(_, e)| transport_error_text(e)).collect();
            if texts.is_empty() { "no transport".to_owned() } else { texts.join("; ") }
        }
    }
}

fn transport_error_text(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => "unsupported address".to_owned(),
        TransportError::Other(error) => chain_text(error),
    }
}

/// The error and its causes, each once, on one line, cut off where it gets long.
fn chain_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {part}");
        }
        cause = error.source();
    }
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text
}

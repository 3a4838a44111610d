//! Which sockets to listen on: addresses checked, one free port found for all transports, and
//! sockets of others noticed.
//!
//! libp2p's TCP listener sets `SO_REUSEPORT`, so two processes of one user would share a port in
//! silence, each getting some of the connections. Every address is therefore first bound the
//! strict way here.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
};

use libp2p::multiaddr::{Multiaddr, Protocol};

use crate::{ports::NetworkError, types::Transport};

/// An address that this build can listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListenAddress {
    transport: Transport,
    socket: SocketAddr,
}

impl ListenAddress {
    /// Reads the forms that [`super::Libp2pOptions::listen`] names.
    pub(super) fn parse(address: &Multiaddr) -> Result<Self, NetworkError> {
        let refuse = |reason: &str| NetworkError::Listen {
            address: address.clone(),
            reason: reason.to_owned(),
        };
        let mut parts = address.iter();
        let ip = match parts.next() {
            Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
            _ => return Err(refuse("it must start with /ip4/ADDRESS or /ip6/ADDRESS")),
        };
        let (transport, port) = match (parts.next(), parts.next()) {
            (Some(Protocol::Tcp(port)), None) => (Transport::Tcp, port),
            (Some(Protocol::Udp(port)), Some(Protocol::QuicV1)) => (Transport::Quic, port),
            _ => return Err(refuse("it must end with /tcp/PORT or /udp/PORT/quic-v1")),
        };
        if parts.next().is_some() {
            return Err(refuse("it must end with /tcp/PORT or /udp/PORT/quic-v1"));
        }
        if transport == Transport::Quic && !cfg!(feature = "quic") {
            return Err(refuse("this program was built without QUIC"));
        }
        Ok(Self { transport, socket: SocketAddr::new(ip, port) })
    }

    pub(super) fn to_multiaddr(self) -> Multiaddr {
        let ip = Multiaddr::from(self.socket.ip());
        match self.transport {
            Transport::Tcp => ip.with(Protocol::Tcp(self.socket.port())),
            Transport::Quic => ip.with(Protocol::Udp(self.socket.port())).with(Protocol::QuicV1),
        }
    }

    /// Binds and lets go at once; the port that was bound.
    fn try_bind(self) -> io::Result<u16> {
        let bound = match self.transport {
            Transport::Tcp => TcpListener::bind(self.socket)?.local_addr()?,
            Transport::Quic => UdpSocket::bind(self.socket)?.local_addr()?,
        };
        Ok(bound.port())
    }

    /// Whether nobody holds the socket.
    pub(super) fn check_free(self) -> Result<(), NetworkError> {
        self.try_bind().map(drop).map_err(|error| self.error(&error))
    }

    fn error(self, error: &io::Error) -> NetworkError {
        NetworkError::Listen { address: self.to_multiaddr(), reason: error.to_string() }
    }
}

/// Whether one of them leaves the port to us.
pub(super) fn wants_free_port(addresses: &[ListenAddress]) -> bool {
    addresses.iter().any(|address| address.socket.port() == 0)
}

/// The addresses with every port 0 replaced by one port that was free a moment ago on the first
/// of them. Others may still hold it on the rest, or take it meanwhile: try again then.
pub(super) fn choose_port(addresses: &[ListenAddress]) -> Result<Vec<ListenAddress>, NetworkError> {
    let Some(first) = addresses.iter().find(|address| address.socket.port() == 0) else {
        return Ok(addresses.to_vec());
    };
    let port = first.try_bind().map_err(|error| first.error(&error))?;
    let with_port = |address: &ListenAddress| {
        let mut chosen = *address;
        if chosen.socket.port() == 0 {
            chosen.socket.set_port(port);
        }
        chosen
    };
    Ok(addresses.iter().map(with_port).collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::adapters::libp2p::listen_addresses;

    fn parse(text: &str) -> Result<ListenAddress, NetworkError> {
        ListenAddress::parse(&text.parse().unwrap())
    }

    #[test]
    fn accepts_what_it_prints() {
        for address in listen_addresses(Ipv4Addr::LOCALHOST.into(), 55444) {
            assert_eq!(ListenAddress::parse(&address).unwrap().to_multiaddr(), address);
        }
        let six = "/ip6/::1/tcp/9";
        assert_eq!(parse(six).unwrap().to_multiaddr().to_string(), six);
    }

    #[test]
    fn refuses_addresses_nobody_can_listen_on() {
        for bad in [
            "/dns4/localhost/tcp/9",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/udp/9",
            "/ip4/127.0.0.1/tcp/9/ws",
            "/ip4/127.0.0.1/udp/9/quic-v1/p2p-circuit",
        ] {
            assert!(matches!(parse(bad), Err(NetworkError::Listen { .. })), "{bad}");
        }
    }

    #[test]
    fn gives_all_transports_the_same_port() {
        let wanted: Vec<_> = listen_addresses(Ipv4Addr::LOCALHOST.into(), 0)
            .iter()
            .map(|address| ListenAddress::parse(address).unwrap())
            .collect();
        assert!(wants_free_port(&wanted));
        let chosen = choose_port(&wanted).unwrap();
        assert!(!wants_free_port(&chosen));
        assert!(chosen.iter().all(|a| a.socket.port() == chosen[0].socket.port()));
    }

    #[test]
    fn notices_a_socket_of_somebody_else() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let address = parse(&format!("/ip4/127.0.0.1/tcp/{port}")).unwrap();
        assert!(matches!(address.check_free(), Err(NetworkError::Listen { .. })));
        drop(holder);
        address.check_free().unwrap();
    }
}

//! The outside world behind the ports. Glue only: no rule of sync lives here.

pub mod libp2p;

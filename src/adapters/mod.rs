//! Glue between the ports and the outside world. No rule of sync is here.

//! The program as people and scripts use it: the real binary, over loopback, with a deadline on
//! every wait.

mod bad_input;
mod chain;
mod demo;
mod run;
mod support;

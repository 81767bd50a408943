//! The agent's transport over TLS 1.3 and HTTP/1.1, for firmware without an allocator.
//!
//! The socket is any blocking byte stream; [`identity`] says who the server has to be, [`url`] where it
//! is, [`head`] reads the head of an answer, [`https`] is the transport.
#![no_std]

pub mod head;
pub mod https;
pub mod identity;
pub mod url;

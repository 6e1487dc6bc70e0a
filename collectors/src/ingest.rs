//! What is sent to us.

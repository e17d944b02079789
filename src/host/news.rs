//! A value that changes, and those who want to know.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// Wakes whoever listens in the order in which they began to: tokio's own sender wakes its receivers in a random one.
#[derive(Debug)]
pub struct News<T>(Mutex<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    value: T,
    listeners: Vec<watch::Sender<T>>,
}

impl<T: Clone> News<T> {
    /// Nobody listens yet.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(Inner { value, listeners: Vec::new() }))
    }

    /// From now on the receiver learns of every change.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<T> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (listener, receiver) = watch::channel(inner.value.clone());
        inner.listeners.retain(|listener| !listener.is_closed());
        inner.listeners.push(listener);
        receiver
    }

    /// Changes the value, and wakes everybody.
    pub fn tell(&self, change: impl FnOnce(&mut T)) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut inner.value);
        let Inner { value, listeners } = &*inner;
        listeners.iter().for_each(|listener| drop(listener.send_replace(value.clone())));
    }
}

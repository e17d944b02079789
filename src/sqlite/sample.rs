//! A small shop for the demo: an application of the kind whose database is worth a backup.
//!
//! The only connections of this program that write, and only to databases that it has made itself.

use std::path::Path;
use std::time::Duration;

use rusqlite::params;

use super::Error;

const CUSTOMERS: u32 = 20_000;
const PRODUCTS: [&str; 6] = ["lantern", "rope", "compass", "chart", "oilskin", "sextant"];
const NOTES: [&str; 4] = [
    "Please ring twice.",
    "Leave it with the neighbour on the left, who is at home in the mornings.",
    "A gift: no invoice in the parcel, please, and write the card by hand if you can.",
    "",
];
/// What an application usually waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The shop's own connection to its database.
#[derive(Debug)]
pub struct Shop {
    inner: rusqlite::Connection,
    random: fastrand::Rng,
}

/// What a check of a shop's database found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopCheck {
    /// What `PRAGMA integrity_check` says: "ok", or the first problem.
    pub integrity: String,
    /// Orders in it.
    pub orders: u64,
}

impl Shop {
    /// Makes the database in WAL mode, with customers and without orders.
    ///
    /// # Errors
    /// If it exists already, or SQLite refuses.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let mut inner = rusqlite::Connection::open(path)?;
        inner.busy_timeout(BUSY_TIMEOUT)?;
        inner.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
        inner.pragma_update(None, "synchronous", "normal")?;
        // Checkpoints are left to the replicator, so that the WAL waits for it while it is away (docs/reliability.md).
        inner.pragma_update(None, "wal_autocheckpoint", 0)?;
        let transaction = inner.transaction()?;
        transaction.execute_batch(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL);
             CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers,
                                  status TEXT NOT NULL, note TEXT NOT NULL);
             CREATE TABLE lines (order_id INTEGER NOT NULL REFERENCES orders, product TEXT NOT NULL,
                                 quantity INTEGER NOT NULL, price_cents INTEGER NOT NULL);
             CREATE INDEX orders_of_customer ON orders (customer, status);
             CREATE INDEX lines_of_order ON lines (order_id);",
        )?;
        for id in 1..=CUSTOMERS {
            let (name, email) = (format!("Customer {id}"), format!("customer{id}@shop.example"));
            transaction.execute("INSERT INTO customers VALUES (?, ?, ?)", params![id, name, email])?;
        }
        transaction.commit()?;
        Ok(Self { inner, random: fastrand::Rng::with_seed(1) })
    }

    /// One transaction: a new order with its lines, and now and then an older one that is sent off.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn take_order(&mut self) -> Result<(), Error> {
        let random = &mut self.random;
        let transaction = self.inner.transaction()?;
        let customer = random.u32(1..=CUSTOMERS);
        let note = NOTES[random.usize(..NOTES.len())].repeat(random.usize(1..=4));
        transaction.execute("INSERT INTO orders VALUES (NULL, ?, 'open', ?)", params![customer, note])?;
        let order = transaction.last_insert_rowid();
        for _ in 0..random.u32(1..=4) {
            let product = PRODUCTS[random.usize(..PRODUCTS.len())];
            let (quantity, price) = (random.u32(1..=9), random.u32(199..=49_999));
            transaction.execute("INSERT INTO lines VALUES (?, ?, ?, ?)", params![order, product, quantity, price])?;
        }
        if random.u32(..3) == 0 {
            transaction.execute("UPDATE orders SET status = 'sent' WHERE id = ?", [random.i64(1..=order)])?;
        }
        Ok(transaction.commit()?)
    }
}

/// Copies everything that is in the WAL into the database file, so that the file alone is the state.
///
/// # Errors
/// If SQLite refuses, or somebody still uses the database.
pub fn settle(path: &Path) -> Result<(), Error> {
    let inner = rusqlite::Connection::open(path)?;
    inner.busy_timeout(BUSY_TIMEOUT)?;
    let busy: i64 = inner.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(Error::Busy("the database is still in use")) }
}

/// Checks the database of a shop.
///
/// # Errors
/// If SQLite cannot read it at all.
pub fn check(path: &Path) -> Result<ShopCheck, Error> {
    let inner = rusqlite::Connection::open(path)?;
    let integrity = inner.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    let orders: i64 = inner.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))?;
    Ok(ShopCheck { integrity, orders: u64::try_from(orders).unwrap_or(0) })
}

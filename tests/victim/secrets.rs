//! Has a password, and forgets it. What stays of it in memory is what the client keeps.

use std::hint::black_box;
use std::io::stdin;
use std::time::Duration;

use jetlane_client::ConnectOptions;

/// The password that `seed` stands for: what is searched for must not be in memory for other reasons.
fn password(seed: &str) -> Vec<u8> {
    seed.bytes().map(|byte| byte ^ 1).collect()
}

pub fn run(port: &str, seed: &str, way: &str) {
    let mut password = password(seed);
    // Our own copies do not count.
    let mut url = Vec::with_capacity(100);
    url.extend_from_slice(format!("nats://127.0.0.1:{port}").as_bytes());
    let options = match way {
        "url" => {
            let secret = [b"u:", &password[..], b"@"].concat();
            url.splice(7..7, secret.iter().copied());
            forget(secret);
            ConnectOptions::new()
        }
        _ => ConnectOptions::new().user_password("u", std::str::from_utf8(&password).unwrap()),
    };
    password.fill(0);
    let client = options.connect(std::str::from_utf8(&url).unwrap()).unwrap();
    forget(url);
    forget(password);
    client.flush().wait().unwrap();
    pause("connected");
    client.close(Duration::from_secs(5)).unwrap();
    drop(client);
    pause("dropped");
}

fn forget(mut bytes: Vec<u8>) {
    bytes.fill(0);
    black_box(&bytes);
}

/// Lets the test look.
fn pause(what: &str) {
    println!("{what}");
    stdin().read_line(&mut String::new()).unwrap();
}

//! A machine of a tailnet that is made of tailscale-rs, Tailscale's own library for Rust.
//!
//! echo KEY_FILE CONTROL_URL HOSTNAME [AUTH_KEY]
//!
//! Says its address, then answers on TCP port 1234 with what comes. A line that begins with "visit ADDRESS:PORT " has the
//! rest sent there, and is answered with what that one says.

use std::{env, error::Error, net::SocketAddr};
use tailscale::{Config, Device};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const LIMIT: usize = 64 * 1024;

async fn visit(device: &Device, line: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let (address, text) = line.split_once(' ').ok_or("visit whom?")?;
    let mut there = device.tcp_connect(address.parse::<SocketAddr>()?).await?;
    there.write_all(text.as_bytes()).await?;
    there.flush().await?;
    let mut answer = vec![0; LIMIT];
    let got = there.read(&mut answer).await?;
    answer.truncate(got);
    Ok(answer)
}

async fn serve(device: &Device, mut caller: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Box<dyn Error>> {
    let mut buffer = vec![0; LIMIT];
    loop {
        let got = caller.read(&mut buffer).await?;
        if got == 0 {
            return Ok(());
        }
        let answer = match std::str::from_utf8(&buffer[..got])?.strip_prefix("visit ") {
            Some(line) => visit(device, line.trim_end()).await?,
            None => buffer[..got].to_vec(),
        };
        caller.write_all(&answer).await?;
        caller.flush().await?;
    }
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [key_file, url, hostname, auth_key @ ..] = words.as_slice() else {
        return Err("echo KEY_FILE CONTROL_URL HOSTNAME [AUTH_KEY]".into());
    };
    let mut config = Config::default_with_key_file(key_file).await?;
    config.control_server_url = url::Url::parse(url)?;
    config.requested_hostname = Some(hostname.clone());

    let device = Device::new(&config, auth_key.first().cloned()).await?;
    let address = device.ipv4_addr().await?;
    let listener = device.tcp_listen((address, 1234).into()).await?;
    println!("address {address}");
    loop {
        let caller = listener.accept().await?;
        println!("caller {}", caller.remote_addr());
        if let Err(error) = serve(&device, caller).await {
            println!("broke off: {error}");
        }
    }
}

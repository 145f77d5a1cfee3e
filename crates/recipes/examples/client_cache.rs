//! A client with a cache, which revalidates its copies.

use http_cache_reqwest::{
    Cache, CacheMode, CacheOptions, HttpCache, HttpCacheOptions, MokaManager,
};
use reqwest::Client;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = client();
    for _ in 0..3 {
        let response = client.get("http://127.0.0.1:3000/flags").send().await?;
        let from = response.headers().get("x-cache").cloned();
        eprintln!("{from:?} {}", response.text().await?);
    }
    Ok(())
}

/// Makes a client with a cache in memory for one user. A shared cache would not store
/// private responses.
pub(crate) fn client() -> ClientWithMiddleware {
    let private = CacheOptions { shared: false, ..CacheOptions::default() };
    let cache = HttpCache {
        mode: CacheMode::Default,
        manager: MokaManager::default(),
        options: HttpCacheOptions {
            cache_options: Some(private),
            ..HttpCacheOptions::default()
        },
    };
    ClientBuilder::new(Client::new()).with(Cache(cache)).build()
}

// The page's own addresses: `#/door` is the stream `door`. Pure, so that node can test it.

/** The stream that a hash names, or null for the wall. */
export function streamOf(hash) {
  if (!hash.startsWith("#/") || hash.length < 3) return null;
  try {
    return decodeURIComponent(hash.slice(2));
  } catch {
    return null;
  }
}

/** The hash of a stream. A slash in a name stays one, since that reads better. */
export function hashOf(name) {
  return `#/${encodeURIComponent(name).replaceAll("%2F", "/")}`;
}

/** The path of a stream in the API; there a slash is escaped, or `a/viewers` would be the viewers of `a`. */
export function apiPath(name, part = "") {
  return `api/v1/streams/${encodeURIComponent(name)}${part && `/${part}`}`;
}

"""Where a story comes from, as far as that is known before its headline is read.

- The site that it links to, the year and the month: an `Origin` is all that is passed on from a
  row. Not the path of the link, which often spells out the headline, nor a subdomain; not points
  and comments, which come later; nothing from the title.
- A site is a registrable domain, by the suffix list bundled with tldextract: nothing is downloaded.
"""

import re
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

COLUMNS = ("url", "time")  # of a file of stories, where they are
FIRST_YEAR = 2006  # of Hacker News
NO_LINK = ""  # the site of a story that links nowhere, such as a question
HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+")  # a name, or an IP address of either kind
DATE = re.compile(r"(\d{4})-(0[1-9]|1[0-2])\b")


class Origin(NamedTuple):
    """Where a story comes from; None is what cannot be told."""

    site: str | None  # NO_LINK where it has no link
    year: int | None
    month: int | None  # 1 to 12; of a number of seconds in UTC, of a date as it is written


def origin(url: bytes | None, time: bytes | None) -> Origin:
    """Return where a story comes from, given its row's link and time of posting.

    `time` is in seconds since 1970, or a date that begins as in ISO 8601, 2019-12-26. No story was
    posted before FIRST_YEAR: a number from before it means something else.
    """
    return Origin(site_of(_text(url)), *_year_and_month(_text(time)))


def site_of(url: str | None) -> str | None:
    """Return the site of a link: its registrable domain, as people read it.

    An IP address, or a name without a suffix, is its own site. Returns NO_LINK if there is no link,
    None if it names no host.
    """
    if not url:
        return NO_LINK
    try:
        host = (urlsplit(url).hostname or "").strip(".")
    except ValueError:  # a bracket that is not closed
        return None
    if not HOST.fullmatch(host):
        return None
    found = _extract()(f"[{host}]" if ":" in host else host)
    site = found.top_domain_under_public_suffix or found.domain or found.suffix
    if "xn--" in site:
        try:
            return site.encode("ascii").decode("idna")
        except UnicodeError:  # no name that people could read
            pass
    return site or None


def _text(raw):
    try:
        return raw.decode().strip() if raw is not None else None
    except UnicodeDecodeError:
        return "?"  # there is something, and it names neither a host nor a date


def _year_and_month(time):
    if date := DATE.match(time or ""):
        return int(date[1]), int(date[2])
    try:
        posted = datetime.fromtimestamp(float(time or ""), UTC)
    except (ValueError, OverflowError, OSError):
        return None, None
    return (posted.year, posted.month) if posted.year >= FIRST_YEAR else (None, None)


@cache
def _extract():
    import tldextract  # slow to import, and needed by one step only

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

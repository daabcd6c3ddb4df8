"""Pure thinking: facts and a time go in, decisions come out. No I/O, no asyncio, no clock, no settings type."""

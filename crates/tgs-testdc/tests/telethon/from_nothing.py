"""Telethon from nothing: key exchange with the test DC's RSA key, migration, code, a wrong password, the right one.

Prints the session string."""

import asyncio
import sys

from telethon import TelegramClient, errors
from telethon.crypto import rsa
from telethon.sessions import StringSession

port, modulus, exponent, api_id, api_hash, phone, code, password = sys.argv[1:]

# add_key takes a PEM file in PKCS #1; the library that it reads it with also writes it.
key = rsa.rsa.PublicKey(int(modulus), int(exponent))
rsa.add_key(key.save_pkcs1().decode(), old=False)


async def main():
    session = StringSession()
    session.set_dc(1, "127.0.0.1", int(port))
    client = TelegramClient(session, int(api_id), api_hash, connection_retries=1)
    await client.connect()
    assert not await client.is_user_authorized()
    await client.send_code_request(phone)
    assert session.dc_id == 2, session.dc_id
    try:
        await client.sign_in(phone, "00000")
        raise AssertionError("a wrong code was taken")
    except errors.PhoneCodeInvalidError:
        pass
    try:
        await client.sign_in(phone, code)
        raise AssertionError("no password was asked for")
    except errors.SessionPasswordNeededError:
        pass
    try:
        await client.sign_in(password="wrong")
        raise AssertionError("a wrong password was taken")
    except errors.PasswordHashInvalidError:
        pass
    me = await client.sign_in(password=password)
    assert me.first_name == "Alice", me
    assert await client.is_user_authorized()
    print(session.save())
    await client.disconnect()


asyncio.run(main())

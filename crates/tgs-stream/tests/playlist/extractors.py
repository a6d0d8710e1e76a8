"""Extractors for the tests of tgs-stream: sites that do what real ones do, on loopback.

The refusals go through yt-dlp's own functions with the texts that YouTube sends.
"""
import socket
import subprocess
import time

from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.extractor.youtube._base import YoutubeBaseInfoExtractor
from yt_dlp.utils import ExtractorError

SITE = r'(?P<site>http://127\.0\.0\.1:\d+)'


class TgsApartIE(InfoExtractor):
    """Picture and sound apart, in several sizes and codecs; each URL wants its own header."""
    _VALID_URL = SITE + r'/apart/(?P<id>\w+)'

    def _real_extract(self, url):
        site, video_id = self._match_valid_url(url).group('site', 'id')

        def stream(name, **about):
            headers = {'X-Token': name}
            return {'format_id': name, 'url': f'{site}/token/{name}', 'http_headers': headers, **about}

        def video(name, height, codec, fps=30):
            return stream(name, ext='mp4', height=height, width=height * 16 // 9, vcodec=codec, acodec='none', fps=fps)

        def audio(name, codec):
            return stream(name, ext='m4a', vcodec='none', acodec=codec)

        return {
            'id': video_id,
            'title': 'Apart\n together',
            'formats': [
                audio('opus', 'opus'), audio('aac', 'mp4a.40.2'),
                video('h264-360', 360, 'avc1.4d401e'), video('h264-720', 720, 'avc1.4d401f'),
                video('h264-720-60', 720, 'avc1.4d4020', fps=60), video('vp9-720', 720, 'vp9'),
                video('h264-1080', 1080, 'avc1.640028'),
            ],
        }


class TgsDubbedIE(InfoExtractor):
    """An original in Opus and a dub in AAC, as YouTube describes them."""
    _VALID_URL = SITE + r'/dubbed/(?P<id>\w+)'

    def _real_extract(self, url):
        site, video_id = self._match_valid_url(url).group('site', 'id')

        def sound(name, codec, language, preference):
            return {'format_id': name, 'url': f'{site}/{name}', 'ext': 'm4a', 'vcodec': 'none', 'acodec': codec,
                    'language': language, 'language_preference': preference}

        picture = {'format_id': 'picture', 'url': f'{site}/picture', 'ext': 'mp4', 'height': 720, 'width': 1280,
                   'vcodec': 'avc1.4d401f', 'acodec': 'none'}
        return {'id': video_id, 'title': 'Dubbed', 'formats': [
            picture, sound('original', 'opus', 'de', 10), sound('dub', 'mp4a.40.2', 'en', -1)]}


class TgsExpiringIE(InfoExtractor):
    """A URL that is good for as many seconds as the page's name says, and different each time."""
    _VALID_URL = SITE + r'/expiring/(?P<id>\d+)'

    def _real_extract(self, url):
        site, seconds = self._match_valid_url(url).group('site', 'id')
        until = int(time.time()) + int(seconds)
        return {'id': seconds, 'title': 'Expiring', 'url': f'{site}/av.mp4?expire={until}&n={time.time_ns()}'}


class TgsLiveIE(InfoExtractor):
    _VALID_URL = SITE + r'/onair/(?P<id>\w+)'

    def _real_extract(self, url):
        site, video_id = self._match_valid_url(url).group('site', 'id')
        return {
            'id': video_id, 'title': 'On air', 'is_live': True,
            'formats': self._extract_m3u8_formats(f'{site}/live.m3u8', video_id, 'mp4', live=True),
        }


class TgsEvilIE(InfoExtractor):
    """A page that points at a file of this machine."""
    _VALID_URL = SITE + r'/evil'

    def _real_extract(self, url):
        return {'id': 'evil', 'title': 'Evil', 'url': 'file:///etc/passwd', 'ext': 'mp4'}


class TgsHangIE(InfoExtractor):
    """Starts a process and hangs. Both hold a connection to the site: it sees when the last of them is gone."""
    _VALID_URL = r'http://127\.0\.0\.1:(?P<id>\d+)/hang'

    def _real_extract(self, url):
        connection = socket.create_connection(('127.0.0.1', int(self._match_id(url))))
        connection.sendall(b'GET /hold HTTP/1.1\r\n\r\n')
        subprocess.Popen(['sleep', '1000'], pass_fds=[connection.fileno()])
        time.sleep(1000)


class TgsRefuseIE(YoutubeBaseInfoExtractor):
    _VALID_URL = SITE + r'/refuse/(?P<id>\w+)'

    def _real_extract(self, url):
        refusal = self._match_id(url)
        if refusal == 'geo':
            self.raise_geo_restricted(
                'The uploader has not made this video available in your country', ['JP'], metadata_available=True)
        if refusal == 'no_js':
            self.report_warning(
                'No supported JavaScript runtime could be found. Only deno is enabled by default; '
                'to use another runtime add  --js-runtimes RUNTIME[:PATH]  to your command/config. '
                'YouTube extraction without a JS runtime has been deprecated, and some formats may be missing.')
            return {
                'id': refusal, 'title': 'Images',
                'formats': [{
                    'format_id': 'sb0', 'url': 'http://127.0.0.1/storyboard', 'ext': 'mhtml', 'protocol': 'mhtml',
                    'vcodec': 'none', 'acodec': 'none', 'fragments': [],
                }],
            }
        if refusal == 'account':
            self.raise_login_required()
        if refusal == 'bug':
            raise ExtractorError('Unable to extract initial data')
        reason = {
            'bot': 'Sign in to confirm you\u2019re not a bot',
            'age': 'Sign in to confirm your age. This video may be inappropriate for some users',
            'private': 'Private video. Sign in if you\'ve been granted access to this video',
            'members': 'Join this channel to get access to members-only content like this video, and other exclusive perks.',
            'removed': 'Video unavailable. This video has been removed by the uploader',
            'rate': ('This content isn\'t available, try again later. The current session has been rate-limited by YouTube '
                     'for up to an hour. It is recommended to use `-t sleep` to add a delay between video requests to '
                     'avoid exceeding the rate limit.'),
            'upcoming': 'This live event will begin in 3 hours.',
        }[refusal]
        if 'sign in' in reason.lower():
            reason = f'{reason}. {self._youtube_login_hint}'
        self.raise_no_formats(reason, expected=True, video_id=refusal)

"""Django's settings. Switches come from `trade_canvas.switches`, addresses from the environment."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from market import bus_address
from trade_canvas import __version__, embedded, log_repeats, logs
from trade_canvas.database import connection_settings, process_role
from trade_canvas.environment import OWN_INSTALLATION, script_name
from trade_canvas.switches import Switches, refuse_unused
from trade_canvas.up.plan import DEFAULTS

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("DATA_DIR") or BASE_DIR / ".data").resolve()
ROLE = process_role(sys.argv)
CONNECTS = ROLE not in OWN_INSTALLATION
# With the defaults of what `up` starts: a switch may need another one that is on there.
SWITCHES = Switches.from_environment({**DEFAULTS, **os.environ} if ROLE == "up" else os.environ)
BUSES = bus_address.parse(os.environ.get("REDIS_URL", ""))
if CONNECTS:
    refuse_unused(os.environ)

DEBUG = os.environ.get("DEBUG", "0") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY") or embedded.secret_key(DATA_DIR)
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if o]

# The prefix of all addresses, for example /canvas. None: each request may have one of its own.
FORCE_SCRIPT_NAME = script_name(os.environ.get("FORCE_SCRIPT_NAME", ""))

INSTALLED_APPS = [
    # Its development server in place of Django's; it imports Twisted, which takes time.
    *(["daphne"] if ROLE == "runserver" else []),
    # Without its search for admin modules: urls.py does that for the processes that serve the
    # admin.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "market",
    "factors",
    "overlays",
    "csp",
    "trade_canvas",
    # Capacity gate and drills; images leave it out.
    *(["lab"] if find_spec("lab") else []),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "trade_canvas.middleware.ContentPolicies",
    "trade_canvas.middleware.CookiePaths",
    "trade_canvas.middleware.StaticFiles",
    "trade_canvas.middleware.JsonGzip",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "trade_canvas.middleware.AdminLanguage",
    "trade_canvas.middleware.JsonErrors",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "trade_canvas.urls"
ASGI_APPLICATION = "trade_canvas.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
# Of the admin and of the API's error messages; the page has texts of its own.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
# Below the prefix, which PrefixedStaticFiles puts before it.
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
FRONTEND_DIST = BASE_DIR / "frontend" / "dist"
STATICFILES_DIRS = [FRONTEND_DIST] if FRONTEND_DIST.is_dir() else []
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "trade_canvas.prefixed.PrefixedStaticFiles"},
}
# Served from STATIC_ROOT as collected, in development too: `up` collects.
WHITENOISE_AUTOREFRESH = False
WHITENOISE_USE_FINDERS = False
# The front end's build puts a hash of the content into these names.
WHITENOISE_IMMUTABLE_FILE_TEST = r"^/static/assets/.+-[0-9A-Za-z_-]{8}\."

# Hashes of the only inline styles: the chart library's for its logo, and the one of the API's docs
# page. The browser tests notice a version that changes them.
INLINE_STYLES = [
    "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='",
    "'sha256-MMpT0iDxyjALd9PdfepImGX3DBfJPXZ4IlDWdPAgtn0='",
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "style-src": [SELF, *INLINE_STYLES],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Clients use https, here or at the proxy; probes connect directly by http.
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SWITCHES.enable_https
LANGUAGE_COOKIE_SECURE = SWITCHES.enable_https
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_AGE = 365 * 86_400
SECURE_REDIRECT_EXEMPT = [r"^(.+/)?(healthz|readyz)$"]
SECURE_HSTS_SECONDS = 365 * 86_400 if SWITCHES.enable_https else 0
if SWITCHES.trusted_proxies:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Only the operator knows whether subdomains have https, too, and whether to preload HSTS.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# The admin asks for the password again after half a day.
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before those of the apps: they replace some of the admin's own.
        "DIRS": [BASE_DIR / "trade_canvas" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# PostgreSQL, given or embedded. Without the switch there is no database at all.
if SWITCHES.enable_pg_store and CONNECTS:
    DATABASE_URL = os.environ.get("DATABASE_URL") or embedded.database_url(DATA_DIR)
    DATABASES: dict[str, dict[str, Any]] = {
        "default": connection_settings(DATABASE_URL, SWITCHES, role=ROLE)
    }
else:
    DATABASES = {}

# Redis or Valkey, given or embedded. Without the switch the bus is in memory. Messages to watchers
# are divided among all addresses; everything else is at the first.
if SWITCHES.enable_ws_pubsub and CONNECTS:
    BUSES = BUSES or bus_address.parse(embedded.redis_url(DATA_DIR))
    REDIS_URL = BUSES[0].client_url
    CELERY_BROKER_URL = BUSES[0].broker_url
    CELERY_BROKER_USE_SSL = BUSES[0].broker_tls
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "market.bus.valkey_layer.ValkeyLayer",
            "CONFIG": {
                "hosts": [
                    {"address": each.client_url, "socket_connect_timeout": 5} for each in BUSES
                ]
            },
        }
    }
else:
    REDIS_URL = ""
    CELERY_BROKER_URL = "memory://"
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Counts that all processes share (attempts to log in), and the substitute without the bus.
_IN_PROCESS = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
CACHES: dict[str, dict[str, Any]] = {"default": _IN_PROCESS, "own": _IN_PROCESS}
if REDIS_URL:
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_FUNCTION": "market.identity.cache_key",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }

CORS_ALLOWED_ORIGINS = [o.strip() for o in SWITCHES.cors_origins.split(",") if o.strip()]
CORS_ALLOW_CREDENTIALS = True
CORS_EXPOSE_HEADERS = [
    "ETag",
    "X-Draw-Cursor",
    "X-Series-Epoch",
    "X-Series-Generation",
    "X-Series-Id",
    "X-Server-Head-Time",
]

# The pipeline's stages after the store, in order, in the transaction of each batch.
STAGES = {
    "factors.stage.FactorStage": SWITCHES.enable_factor_ingest,
    "overlays.stage.OverlayStage": SWITCHES.enable_overlay_ingest,
    "factors.alerts.stage.AlertStage": SWITCHES.enable_alerts,
}
PIPELINE_STAGES = [stage for stage, is_on in STAGES.items() if is_on]

# The head of each stage's ledger: functions of a series that return an open time, or None.
LEDGER_HEADS = {
    "factor": "factors.runtime.head_time",
    "overlay": "overlays.runtime.head_time",
}

# What brings up the ledgers of one series, or of all that are behind (market.ingest.ledgers).
BRING_UP = "overlays.bring_up.bring_up"
BRING_UP_ALL = "overlays.bring_up.bring_up_all"

# What watchers are sent of drawings and of health (ReadDrawn and ReadHealth of market.live).
READ_DRAWN = "overlays.feed.read_drawn"
READ_HEALTH = "overlays.health.read_health"

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONSUMER = "trade_canvas.celery_consumer:Consumer"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than the longest task, or a running task would be delivered again.
    "visibility_timeout": SWITCHES.follow_task_max_s + 3600,
    "socket_connect_timeout": 5,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["market.api.rendering.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["market.api.rendering.OrjsonParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "EXCEPTION_HANDLER": "market.api.errors.handle_exception",
    "DEFAULT_SCHEMA_CLASS": "market.api.schema.ApiSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "trade_canvas",
    "DESCRIPTION": "Exchange candles in sync: history over HTTP, live over /ws/market.",
    "VERSION": __version__,
    "LICENSE": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    "SERVE_INCLUDE_SCHEMA": False,
    # pydantic writes nullable values as OpenAPI 3.1 does.
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": [
        "market.api.schema_hooks.complete",
        "trade_canvas.prefixed.name_server",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
SECRETS = logs.secrets_of(
    SECRET_KEY,
    SWITCHES.ingest_token,
    SWITCHES.metrics_token,
    os.environ.get("ADMIN_PASSWORD"),
    DATABASES.get("default", {}).get("PASSWORD"),
    *(each.client_url for each in BUSES),
    *(each.password for each in BUSES),
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        logs.LINE: {"()": logs.LineFormatter, "secrets": SECRETS},
        logs.JSON: {"()": logs.JsonFormatter, "secrets": SECRETS},
    },
    "filters": {
        "drop_client_errors": {"()": logs.DropClientErrors},
        "shorten_bus_errors": {"()": logs.ShortenBusErrors},
    },
    "handlers": {
        "console": {
            "()": log_repeats.FoldRepeats,
            "formatter": logs.form_of(os.environ.get("LOG_FORMAT", "")),
        }
    },
    "loggers": {
        # Django's own console handler would repeat every line.
        "django": {"level": "INFO"},
        # A line for each refused request: any client could fill the log.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        # Two lines for each connection and each disconnection.
        "uvicorn.error": {"level": "WARNING", "filters": ["drop_client_errors"]},
        "celery.beat": {"filters": ["shorten_bus_errors"]},
        # Two lines for each task, and one task every other second.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")},
}

from market.exchanges.ccxt_packages import install

# Before any module of this package imports ccxt.
install()

-- An account that reads candles and nothing else (docs/grafana.md):
--     manage.py dbshell < docker/grafana/reader.sql
--     manage.py dbshell -- -c '\password trade_canvas_reader'
CREATE ROLE trade_canvas_reader LOGIN;
ALTER ROLE trade_canvas_reader SET default_transaction_read_only = on;
ALTER ROLE trade_canvas_reader SET statement_timeout = '10s';
GRANT USAGE ON SCHEMA public TO trade_canvas_reader;
GRANT SELECT ON candles, gaps, series TO trade_canvas_reader;

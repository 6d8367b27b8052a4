-- Copyright: (c) 2026, the streamkap.neon contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The roles of a Neon server as they are in 2026, laid over a vanilla PostgreSQL 14 to 18 whose superuser is cloud_admin.
-- Parameters: the passwords of neondb_owner and console_user.

CREATE ROLE neon_superuser CREATEDB CREATEROLE NOLOGIN REPLICATION BYPASSRLS;
GRANT pg_read_all_data, pg_write_all_data, pg_monitor, pg_signal_backend TO neon_superuser WITH ADMIN OPTION;
GRANT EXECUTE ON FUNCTION pg_show_replication_origin_status TO neon_superuser;

DO $$
DECLARE
    major integer := current_setting('server_version_num')::integer / 10000;
BEGIN
    IF major >= 16 THEN
        GRANT pg_create_subscription TO neon_superuser WITH ADMIN OPTION;
        GRANT EXECUTE ON FUNCTION pg_export_snapshot, pg_log_standby_snapshot TO neon_superuser;
    END IF;
    -- EXECUTE, because older versions do not know this syntax.
    IF major >= 17 THEN
        EXECUTE 'GRANT pg_maintain TO neon_superuser WITH ADMIN TRUE, INHERIT TRUE, SET FALSE';
    END IF;
    IF major >= 18 THEN
        EXECUTE 'GRANT pg_signal_autovacuum_worker TO neon_superuser WITH ADMIN TRUE, INHERIT TRUE, SET FALSE';
    END IF;
END
$$;

-- What Neon's console and API make: a role that may nearly everything and whom only cloud_admin can alter.
CREATE ROLE neondb_owner CREATEROLE CREATEDB BYPASSRLS REPLICATION IN ROLE neon_superuser LOGIN PASSWORD %(owner)s;
CREATE ROLE console_user CREATEROLE CREATEDB BYPASSRLS REPLICATION IN ROLE neon_superuser LOGIN PASSWORD %(console)s;
-- Neon's own.
CREATE ROLE neon_service CREATEROLE CREATEDB BYPASSRLS REPLICATION IN ROLE neon_superuser LOGIN PASSWORD NULL;

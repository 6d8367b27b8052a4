-- Copyright: (c) 2026, the streamkap.neon contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A small shop: the application whose database the tests and the demo make ready for capture.
-- Run it in an empty database, as neondb_owner (who owns the database) or as a superuser.
-- As in many real databases, not all tables have the same owner.

SET ROLE neondb_owner;

DO $$
BEGIN
    IF to_regrole('app_owner') IS NULL THEN
        CREATE ROLE app_owner NOLOGIN;
        -- From PostgreSQL 16 on, who creates a role may administer it but neither inherits from it nor becomes it.
        GRANT app_owner TO neondb_owner;
    END IF;
END
$$;

CREATE SCHEMA app AUTHORIZATION app_owner;
CREATE SCHEMA billing AUTHORIZATION app_owner;

SET ROLE app_owner;

CREATE TABLE app.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app.products (
    sku text PRIMARY KEY,
    name text NOT NULL,
    price numeric(10, 2) NOT NULL CHECK (price > 0)
);

SET ROLE neondb_owner;

CREATE TABLE app.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES app.customers,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'shipped')),
    ordered_at timestamptz NOT NULL DEFAULT now()
);

GRANT REFERENCES ON app.orders TO app_owner;

SET ROLE app_owner;

CREATE TABLE app.order_items (
    order_id bigint REFERENCES app.orders,
    line integer,
    sku text NOT NULL REFERENCES app.products,
    quantity integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, line)
);

CREATE TABLE billing.invoices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES app.orders,
    amount numeric(12, 2) NOT NULL,
    due_on date NOT NULL
);

SET ROLE neondb_owner;

CREATE TABLE billing.payments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    invoice_id bigint NOT NULL REFERENCES billing.invoices,
    amount numeric(12, 2) NOT NULL,
    paid_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO app.customers (email, name)
SELECT format('customer%s@shop.example', n), format('Customer %s', n) FROM generate_series(1, 24) AS n;

INSERT INTO app.products (sku, name, price)
SELECT format('SKU-%s', n), format('Product %s', n), 4.5 + n FROM generate_series(1, 12) AS n;

INSERT INTO app.orders (customer_id, status)
SELECT 1 + n % 24, (ARRAY['open', 'paid', 'shipped'])[1 + n % 3] FROM generate_series(1, 36) AS n;

INSERT INTO app.order_items (order_id, line, sku, quantity)
SELECT id, line, format('SKU-%s', 1 + (id + line) % 12), line FROM app.orders, generate_series(1, 2) AS line;

INSERT INTO billing.invoices (order_id, amount, due_on)
SELECT order_id, sum(quantity * price), current_date + 30
FROM app.order_items JOIN app.products USING (sku)
GROUP BY order_id;

INSERT INTO billing.payments (invoice_id, amount)
SELECT invoices.id, amount
FROM billing.invoices JOIN app.orders ON orders.id = order_id
WHERE status <> 'open';

RESET ROLE;

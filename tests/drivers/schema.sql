-- What each driver finds in its database. A connection has one of the four schemas first in its search_path.
create table items (connection int, sequence int, body text, primary key (connection, sequence));
create schema s0;
create schema s1;
create schema s2;
create schema s3;
create table s0.marker as select 's0' as marker;
create table s1.marker as select 's1' as marker;
create table s2.marker as select 's2' as marker;
create table s3.marker as select 's3' as marker;
